"""Boxes and masks on images: valid files, and what they were given."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from keras_regionvit import visualize
from keras_regionvit.visualize.figure import class_colors

NAMES = ["cat", "dog", "emu"]
ODD_NAMES = ["US$ 5", r"a $\frac{1$ b_2^", "_hidden\\x$", "\udcff", "x" * 300, "two\nlines"]


def some_images():
    """Two of different sizes, one grey."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, s, dtype="uint8") for s in ((20, 30, 3), (25, 14))]


def some_detections():
    return [
        {
            "boxes": np.array([[2.0, 3, 12, 9], [-5, 0, 40, 30], [1, 1, 5, 5], [0, 0, 0, 0]]),
            "scores": np.array([0.9, 0.5, 0.1, 0.0]),
            "classes": np.array([1, 2, 0, -1]),
        },
        {"boxes": [], "scores": [], "classes": []},
    ]


def some_truth():
    return [
        {"boxes": [[2, 3, 11, 9], [0, 0, 0, 0]], "labels": [1, -1]},
        {"boxes": [[1, 1, 5, 20]], "labels": [0]},
    ]


def some_masks():
    rng = np.random.default_rng(1)
    masks = [rng.integers(0, 2, s).astype("uint8") for s in ((20, 30), (25, 14))]
    masks[0][:5] = 255
    return masks


def make(kind, path=None):
    if kind == "boxes":
        return visualize.plot_detections(
            some_images(), some_detections(), NAMES, path, some_truth()
        )
    return visualize.plot_masks(some_images(), some_masks(), NAMES, path, some_masks()[:2])


def drawn(axes):
    """`(xyxy, colour, dashed)` of each box."""
    rectangles = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [
        (
            (*box.get_xy(), box.get_x() + box.get_width(), box.get_y() + box.get_height()),
            to_rgb(box.get_edgecolor()),
            box.get_linestyle() == "--",
        )
        for box in rectangles
    ]


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_png(kind, tmp_path):
    path = tmp_path / "plot.png"
    figure = make(kind, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(np.rint(figure.get_size_inches() * 150).astype(int))
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
    assert os.listdir(tmp_path) == ["plot.png"]


def test_boxes_are_those_found():
    figure = make("boxes")
    colors = [tuple(map(float, color)) for color in class_colors(3)]
    first, second = figure.axes
    assert drawn(first) == [
        ((1.5, 2.5, 10.5, 8.5), colors[1], True),
        ((-5.5, -0.5, 39.5, 29.5), colors[2], False),  # the best lies on top
        ((1.5, 2.5, 11.5, 8.5), colors[1], False),
    ]
    assert [text.get_text() for text in first.texts] == ["emu 50%", "dog 90%"]
    assert first.texts[0].get_position() == (-0.5, -0.5)  # within the image
    assert first.get_title() == "2 found, 1 true"
    assert (first.get_xlim(), first.get_ylim()) == ((-0.5, 29.5), (19.5, -0.5))
    assert drawn(second) == [((0.5, 0.5, 4.5, 19.5), colors[0], True)]
    assert second.get_title() == "0 found, 1 true"


def test_boxes_as_a_model_gives_them():
    images = np.zeros((2, 8, 8, 3))
    outputs = {
        "boxes": np.tile(np.float32([[1, 1, 4, 4], [0, 0, 0, 0]]), (2, 1, 1)),
        "scores": np.float32([[0.75, 0], [0.25, 0]]),
        "classes": np.int32([[2, -1], [2, -1]]),
        "count": np.int32([1, 1]),
    }
    figure = visualize.plot_detections(images, outputs, NAMES, min_score=0.2)
    assert [[t.get_text() for t in a.texts] for a in figure.axes] == [["emu 75%"], ["emu 25%"]]
    figure = visualize.plot_detections(images, outputs, NAMES, min_score=0.5)
    assert [axes.get_title() for axes in figure.axes] == ["1 found", "0 found"]


def test_masks_of_objects_lie_over_the_image():
    images = some_images()
    masks = np.zeros((4, 20, 30), bool)
    masks[0, 2:9, 3:12] = masks[1, 5:15, 8:20] = True  # they overlap
    masks[2:, 18:] = True  # a low score, and padding
    first, second = some_detections()
    detections = [{**first, "masks": masks}, {**second, "masks": []}]
    figure = visualize.plot_detections(images, detections, NAMES)
    colors, expected = class_colors(3), images[0] / 255
    for mask, kind in ((masks[1], 2), (masks[0], 1)):  # the best lies on top
        expected = np.where(mask[..., None], expected / 2 + colors[kind] / 2, expected)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert np.asarray(figure.axes[1].images[0].get_array()).shape == (25, 14)
    grey = {"boxes": [[1, 1, 4, 5]], "scores": [0.9], "classes": [0], "masks": np.ones((1, 25, 14))}
    grey["masks"] = grey["masks"].astype("uint8") * 255
    figure = visualize.plot_detections(images[1:], [grey], NAMES)
    expected = images[1][..., None] / 255 / 2 + colors[0] / 2
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), expected, atol=1e-6)


def test_keypoints_are_dots_with_lines_between_them():
    points = np.zeros((2, 3, 4, 3))
    points[0, 0] = [[2, 3, 0.5], [9, 4, 0.1], [7, 8, 0], [40, 12, 0.01]]
    points[0, 1] = points[0, 2] = [1, 1, 0.9]
    outputs = {
        "boxes": np.tile(np.float32([1, 1, 4, 4]), (2, 3, 1)),
        "scores": np.float32([[0.9, 0.1, 0], [0, 0, 0]]),
        "classes": np.int32([[2, 0, -1], [-1, -1, -1]]),
        "keypoints": points,
    }
    edges = [(0, 1), (1, 2), (3, 0)]
    figure = visualize.plot_detections(np.zeros((2, 20, 30)), outputs, NAMES, edges=edges)
    axes, empty = figure.axes
    *lines, dots = axes.lines
    assert to_rgb(dots.get_color()) == tuple(map(float, class_colors(3)[2]))
    assert dots.get_linestyle() == "None" and dots.get_marker() == "o"
    assert dots.get_xydata().tolist() == [[1.5, 2.5], [8.5, 3.5], [39.5, 11.5]]
    assert [line.get_xydata().tolist() for line in lines] == [
        [[1.5, 2.5], [8.5, 3.5]],
        [[39.5, 11.5], [1.5, 2.5]],  # none to the keypoint that was not found
    ]
    assert axes.get_xlim() == (-0.5, 29.5)  # as without what lies outside
    assert not empty.lines


def test_true_masks_on_other_grids_are_no_trouble():
    truth = [{"boxes": [[1, 1, 4, 4]], "labels": [0], "masks": np.ones((1, 9, 9))}]
    found = [{"boxes": [], "scores": [], "classes": []}]
    figure = visualize.plot_detections(np.zeros((1, 5, 7)), found, NAMES, truth=truth)
    assert figure.axes[0].get_title() == "0 found, 1 true"


def test_masks_have_the_colours_of_their_classes():
    images, masks = some_images(), some_masks()
    figure = visualize.plot_masks(images, masks, NAMES, truth=[1 - m // 255 * 2 for m in masks])
    assert [axes.get_title() for axes in figure.axes[:3]] == ["image", "predicted", "true"]
    assert len(figure.axes) == 6
    image, painted = images[0] / 255, np.asarray(figure.axes[1].images[0].get_array())
    np.testing.assert_allclose(painted[:5], image[:5], atol=1e-6)  # no class there
    expected = 0.4 * image[5:] + 0.6 * class_colors(3)[masks[0][5:]]
    np.testing.assert_allclose(painted[5:], expected, atol=1e-6)
    grey = np.asarray(figure.axes[4].images[0].get_array())
    expected = 0.4 * images[1][..., None] / 255 + 0.6 * class_colors(3)[masks[1]]
    np.testing.assert_allclose(grey, expected, atol=1e-6)


def test_legend_names_what_covers_most():
    images, masks = np.zeros((1, 10, 30)), np.zeros((1, 10, 30), "int64")
    masks[0, 0, :25] = np.arange(1, 26)
    masks[0, 1, :5] = 24
    names = [f"class {i}" for i in range(30)]
    legend = visualize.plot_masks(images, masks, names).legends[0]
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:3] == ["class 0", "class 24", "class 1"] and len(texts) == 20
    assert not visualize.plot_masks(images, np.full_like(masks, 255), names).legends


def test_names_of_classes_are_no_mathematics(tmp_path):
    count = len(ODD_NAMES)
    found = {
        "boxes": np.tile([0.0, 0, 2, 2], (count, 1)),
        "scores": np.ones(count),
        "classes": np.arange(count),
    }
    images, mask = np.zeros((1, 1, count), "uint8"), np.arange(count).reshape(1, 1, count)
    figure = visualize.plot_detections(images, [found], ODD_NAMES, tmp_path / "a.png")
    assert "US$ 5 100%" in [text.get_text() for text in figure.axes[0].texts]
    figure = visualize.plot_masks(images, mask, ODD_NAMES, tmp_path / "b.png")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:3] == ODD_NAMES[:3] and texts[5] == "two lines" and max(map(len, texts)) < 40


def test_colours_differ():
    colors = class_colors(150)
    assert colors.shape == (150, 3) and colors.min() >= 0 and colors.max() <= 1
    assert len(np.unique(colors.round(3), axis=0)) == 150
    assert np.abs(np.diff(colors, axis=0)).sum(axis=1).min() > 0.5


def boxes(**changes):
    value = {"boxes": np.zeros((1, 4)), "scores": [0.5], "classes": [0], **changes}
    return lambda: visualize.plot_detections(np.zeros((1, 5, 7)), [value], NAMES)


def joined(edges):
    value = {
        "boxes": np.zeros((1, 4)),
        "scores": [0.5],
        "classes": [0],
        "keypoints": np.ones((1, 2, 3)),
    }
    return lambda: visualize.plot_detections(np.zeros((1, 5, 7)), [value], NAMES, edges=edges)


def masks(value, truth=None):
    return lambda: visualize.plot_masks(np.zeros((1, 5, 7)), value, NAMES, truth=truth)


GOOD_MASK = np.zeros((1, 5, 7), "uint8")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (boxes(boxes=np.zeros((1, 3))), "(1, 3)"),
        (boxes(boxes=np.zeros(4)), "(4,)"),
        (boxes(scores=[0.5, 0.4]), "(2,)"),
        (boxes(classes=[3]), "[0, 3), as there are 3 class names. Received: 3"),
        (boxes(classes=[-2]), "from -2"),
        (boxes(classes=[0.0]), "float64"),
        (boxes(masks=np.ones((1, 28, 28), bool)), '(1, 5, 7) under "masks"'),
        (boxes(masks=np.ones((1, 5, 7))), "float64 of the shape (1, 5, 7)"),
        (boxes(masks=np.ones((2, 5, 7), bool)), "(2, 5, 7)"),
        (boxes(keypoints=np.ones((1, 17, 2))), "(1, 17, 2)"),
        (boxes(keypoints=np.ones((2, 17, 3))), '(1, J, 3) under "keypoints"'),
        (boxes(keypoints=np.ones((17, 3))), "(17, 3)"),
        (joined([(0, 2)]), "[0, 2), as there are 2 keypoints. Received: 0 to 2"),
        (joined([(-1, 1)]), "Received: -1 to 1"),
        (joined([(0, 1, 1)]), "int64 of the shape (1, 3)"),
        (joined([(0.0, 1.0)]), "float64"),
        (lambda: visualize.plot_detections([], [], NAMES), "`images`"),
        (lambda: visualize.plot_detections(np.zeros((2, 5, 7)), [{}], NAMES), "2 images"),
        (lambda: visualize.plot_masks(2 * np.ones((1, 5, 7)), GOOD_MASK, NAMES), "`images`"),
        (masks(GOOD_MASK[:, :4]), "here (5, 7)"),
        (masks(GOOD_MASK.astype("float32")), "float32"),
        (masks(GOOD_MASK + 3), "`masks` must lie in [0, 3)"),
        (masks(GOOD_MASK, GOOD_MASK + 254), "`truth` must lie in [0, 3)"),
        (masks(GOOD_MASK, np.zeros((2, 5, 7), "uint8")), "`truth` must have one entry"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
