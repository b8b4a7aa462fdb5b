"""Masks and keypoints of COCO's JSON: as pycocotools reads them; what is counted or refused."""

import contextlib
import io

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.support.dense_sets import (
    CATEGORIES,
    coco,
    coco_box,
    put_coco,
    put_voc,
    voc_item,
    voc_xml,
)
from tests.support.sources import contents
from training.data.pipeline import evaluation_batches
from training.data.sources import open_detection_source
from training.data.sources.coco_json import open_coco
from training.data.sources.keypoint_names import named_info, swap_pairs

RECTANGLE = [1, 2, 4, 2, 4, 6, 1, 6]
TRIANGLE = [6.0, 1.0, 11.5, 1.0, 6.0, 8.5]
NAMES = ["nose", "left_eye", "Right_Eye", "right_eye"]
POINTS = [3, 2, 2, 5, 4, 1, 0, 0, 0, 11, 8, 2]


def pixels(*rows):
    made = np.zeros((9, 12), "uint8")
    made[rows] = 1
    return made


def compressed(made):
    counts = coco_mask.encode(np.asfortranarray(made))["counts"]
    return {"size": [9, 12], "counts": counts.decode()}


def uncompressed(made):
    flat = made.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *changes, flat.size]).tolist()
    return {"size": [9, 12], "counts": [0, *lengths] if flat[0] else lengths}


CROWD = pixels(slice(3, 8), slice(2, 9))
MASKS = [
    coco_box(segmentation=[RECTANGLE]),
    coco_box(bbox=(1, 1, 10.5, 7.5), segmentation=[RECTANGLE, TRIANGLE], category_id=2),
    coco_box(bbox=(2, 3, 7, 5), segmentation=uncompressed(CROWD), iscrowd=1),
    coco_box(bbox=(2, 3, 7, 5), segmentation=compressed(CROWD)),
    coco_box(11, bbox=(6, 1, 5.5, 7.5), segmentation=[TRIANGLE, [1, 2, 3, 4]]),
    coco_box(11, segmentation=[[1, 2, 3, 4]]),
    coco_box(11, segmentation=[]),
    coco_box(11, (3, 3, 0, 1), segmentation=[RECTANGLE]),
]


def test_masks(tmp_path):
    """Run lengths are those of `COCO.annToRLE`, masks what is under their boxes."""
    put_coco(tmp_path, "annotations.json", coco(2, [m | {"id": i} for i, m in enumerate(MASKS)]))
    source = open_coco(tmp_path, "all", shapes="masks", mask_size=42)
    first, second = contents(source)
    with contextlib.redirect_stdout(io.StringIO()):
        oracle = COCO(str(tmp_path / "annotations.json"))
    expected = [oracle.annToRLE(oracle.anns[i])["counts"] for i in range(5)]
    expected = [e if isinstance(e, bytes) else e.encode() for e in expected]
    assert [*first["segmentation"], *second["segmentation"]] == expected
    assert first["masks"].shape == (4, 42, 42) and first["masks"].dtype == np.uint8
    assert first["size"].tolist() == [9, 12] and first["size"].dtype == np.int32
    assert (first["masks"][[0, 2, 3]] == 255).all()  # a rectangle in its own box
    # box (1, 1) to (11.5, 8.5): the rectangle is at 4 places a pixel across, 5.6 down
    assert (first["masks"][1, 6:28, :12] == 255).all() and (first["masks"][1, :5, :12] == 0).all()
    share = second["masks"][0] / 255
    assert abs(share.mean() - 0.5) < 0.02  # a triangle is half of its box
    assert share[0].mean() > 0.95 and share[-1].mean() < 0.05
    name = str(tmp_path / "annotations.json")
    assert source.notes == (
        f"{name}: left out, being inverted, of no area or outside of their image: 1 boxes",
        f"{name}: parts of masks of fewer than three points left out: 2",
        f"{name}: left out, having no mask: 2",
    )
    assert open_coco(tmp_path, "all").info == source.info
    assert "masks" not in contents(open_coco(tmp_path, "all"))[0]


def test_masks_are_drawn_when_an_image_is_read(tmp_path, monkeypatch):
    put_coco(tmp_path, "annotations.json", coco(2, MASKS))
    drawn = []
    monkeypatch.setattr(
        "training.data.sources.instance_masks.box_mask",
        lambda shape, size, box, side: drawn.append(shape) or np.zeros((side, side), "uint8"),
    )
    source = open_coco(tmp_path, "all", shapes="masks")
    assert not drawn
    next(iter(source.records(None).skip(1).map(source.example_of)))
    assert len(drawn) == 1
    plain = source.records(None).map(lambda record: source.example_of(record)["segmentation"])
    assert [len(counts) for counts in plain.as_numpy_iterator()] == [4, 1]
    assert len(drawn) == 1  # what is not used is not drawn


def test_no_objects(tmp_path):
    put_coco(tmp_path, "annotations.json", coco(2, [], categories=[keypoint_category()]))
    for shapes, name, shape in (
        ("masks", "masks", (0, 7, 7)),
        ("keypoints", "keypoints", (0, 4, 3)),
    ):
        source = open_coco(tmp_path, "all", shapes=shapes, mask_size=7)
        assert [e[name].shape for e in contents(source)] == [shape] * 2
    assert contents(open_coco(tmp_path, "all", shapes="masks"))[0]["segmentation"].shape == (0,)


def keypoint_category(**more):
    return CATEGORIES[0] | {"keypoints": NAMES, "skeleton": [[1, 2], [4, 1]]} | more


def test_keypoints(tmp_path):
    annotations = [
        coco_box(keypoints=POINTS, num_keypoints=3),
        coco_box(keypoints=[0] * 12, iscrowd=1),
        coco_box(category_id=2),
        coco_box(11, keypoints=[-1, 2, 2, 12, 9, 1, 3, 10, 1, 0, 0, 2]),
    ]
    content = coco(2, annotations, categories=[keypoint_category(), CATEGORIES[1]])
    source = open_coco(put_coco(tmp_path, "annotations.json", content), "all", shapes="keypoints")
    assert source.info == {
        "class_names": ("cat", "dog"),
        "channels": 3,
        "max_objects": 3,
        "category_ids": (2, 7),
        "keypoints": 4,
        "keypoint_names": tuple(NAMES),
        "keypoint_pairs": ((1, 3),),
        "skeleton": ((0, 1), (3, 0)),
    }
    first, second = contents(source)
    assert first["keypoints"].shape == (3, 4, 3) and first["keypoints"].dtype == np.float32
    expected = [[3.5, 2.5, 2], [5.5, 4.5, 1], [0, 0, 0], [11.5, 8.5, 2]]
    np.testing.assert_array_equal(first["keypoints"][0], expected)
    assert not first["keypoints"][1:].any()
    expected = [[0, 0, 0], [12.5, 9.5, 1], [0, 0, 0], [0.5, 0.5, 2]]
    np.testing.assert_array_equal(second["keypoints"][0], expected)
    assert source.notes[-1].endswith("not labelled, outside of their image: 2 keypoints")
    assert "keypoints" not in contents(open_coco(tmp_path, "all"))[0]


def test_files_of_keypoints(tmp_path):
    """COCO's own go before those of boxes, which stay what they were for boxes."""
    content = coco(2, [coco_box(keypoints=POINTS)], categories=[keypoint_category()])
    for part in ("train", "val"):
        put_coco(tmp_path, f"annotations/person_keypoints_{part}2017.json", content, f"{part}2017/")
    keypoints = open_coco(tmp_path, "train", shapes="keypoints")
    assert keypoints.name.endswith("person_keypoints_train2017.json") and keypoints.count == 2
    with pytest.raises(ValueError, match="has no JSON file"):
        open_coco(tmp_path, "train")
    put_coco(tmp_path, "annotations/instances_train2017.json", coco(2, [coco_box()]), "train2017/")
    for shapes, file in (("", "instances"), ("keypoints", "person_keypoints")):
        assert open_coco(tmp_path, "train", shapes=shapes).name.count(f"/{file}_train2017.json")
    (tmp_path / "annotations/person_keypoints_train2017.json").unlink()
    with pytest.raises(ValueError, match=r"instances_train2017\.json has no category with a list"):
        open_coco(tmp_path, "train", shapes="keypoints")


def test_opened_by_name(tmp_path):
    put_coco(tmp_path / "coco", "train.json", coco(2, MASKS))
    put_voc(tmp_path / "voc", "JPEGImages", "Annotations", [voc_xml(voc_item())] * 3)
    source = open_detection_source(None, "train", tmp_path / "coco", shapes="masks", mask_size=9)
    assert contents(source)[0]["masks"].shape[1:] == (9, 9)
    for spec, data in ((None, tmp_path / "voc"), ("tfds:coco/2017", None)):
        with pytest.raises(ValueError, match=r"masks are asked for, and .* holds boxes alone"):
            open_detection_source(spec, "train", data, shapes="masks")
    with pytest.raises(ValueError, match="`shapes` must be one of '', 'masks', 'keypoints'"):
        open_detection_source("coco", "train", tmp_path / "coco", shapes="mask")
    for size in (0, 2.0, True):
        with pytest.raises(ValueError, match="`mask_size` must be a positive integer"):
            open_detection_source("coco", "train", tmp_path / "coco", mask_size=size)


def test_pairs():
    assert swap_pairs(["a", "Left hand", "right hand", "left"]) == ((1, 2),)
    assert swap_pairs(["upper left", "upper right", "lower left", "lower right"]) == (
        (0, 1),
        (2, 3),
    )
    assert named_info(["a"])["skeleton"] == named_info(["a"])["keypoint_pairs"] == ()


def runs(counts, size=(9, 12)):
    return coco_box(id=5, segmentation={"size": list(size), "counts": counts})


@pytest.mark.parametrize(
    "annotation, message",
    [
        (coco_box(id=5, segmentation="x" * 999), "annotation 5 has a segmentation that is neither"),
        (coco_box(id=5, segmentation=[3]), "annotation 5 has a polygon that is not a list of x"),
        (coco_box(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "at place 0 has a polygon that is not"),
        (coco_box(segmentation=[[1, 2, 3, 4, 5, None]]), "has a polygon that is not a list of x"),
        (coco_box(segmentation=[[1, 2, 3, 4, 5, 1e300]]), "has a polygon that is not a list of x"),
        (coco_box(segmentation=[[1, 2, 3, 4, 5, float("nan")]]), "has a polygon that is not a"),
        (coco_box(segmentation=[RECTANGLE[:4]]), "has no mask: none of its 1 annotations"),
        (coco_box(), "has no mask: none of its 1 annotations has a segmentation"),
        (runs([1, 107], (9,)), "annotation 5 has run lengths without a size"),
        (runs([1, 107], ("9", 12)), "annotation 5 has run lengths without a size"),
        (runs([1, 107], (-9, -12)), "annotation 5 has run lengths without a size"),
        (runs([], (2**40, 2**40)), "annotation 5 has run lengths without a size"),
        (runs([1, 106]), r"5 has run lengths that are of 107 pixels; their size says 12x9 pixels"),
        (runs([-1, 109]), "annotation 5 has run lengths that are neither a text nor whole"),
        (runs(None), "annotation 5 has run lengths that are neither a text nor whole numbers"),
        (runs("d0"), r"5 has run lengths that are of 20 pixels; their size says 12x9"),
        (runs("d0o"), "5 has run lengths that are damaged"),
        (runs("é"), "5 has run lengths that are damaged"),
        (runs(compressed(CROWD)["counts"][:-1]), "5 has run lengths that are"),
        (runs([1, 107], (12, 9)), "5 has run lengths of 9x12 pixels, but its image has 12x9"),
    ],
)
def test_refuses_masks(tmp_path, annotation, message):
    put_coco(tmp_path, "annotations.json", coco(2, [annotation]))
    with pytest.raises(ValueError, match=message) as caught:
        open_coco(tmp_path, "all", shapes="masks")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 600
    assert open_coco(tmp_path, "all").count == 2  # boxes alone are as they were


@pytest.mark.parametrize(
    "points, message",
    [
        (POINTS[:9], "annotation 5 must have .* of 4 keypoints, as its cat.* Received: 9 numbers"),
        (POINTS[:-1], "annotation 5 must have x, y and visibility of 4 keypoints"),
        ({"x": 1}, "annotation 5 must have x, y and visibility of 4 keypoints"),
        ([*POINTS[:-1], 3], "annotation 5 has a keypoint whose visibility is not 0, 1 or 2"),
        ([*POINTS[:-1], "2"], "annotation 5 has keypoints that are not finite numbers"),
        ([float("inf"), *POINTS[1:]], "annotation 5 has keypoints that are not finite numbers"),
    ],
)
def test_refuses_keypoints(tmp_path, points, message):
    content = coco(2, [coco_box(id=5, keypoints=points)], categories=[keypoint_category()])
    with pytest.raises(ValueError, match=message) as caught:
        open_coco(put_coco(tmp_path, "a.json", content), "all", shapes="keypoints")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "categories, message",
    [
        (CATEGORIES, "has no category with a list of keypoints"),
        ([keypoint_category(keypoints="nose")], "dog has keypoints that are no list of names"),
        ([keypoint_category(keypoints=[1, 2])], "dog has keypoints that are no list of names"),
        ([keypoint_category(keypoints=["a", "a"])], "dog names a keypoint twice"),
        ([keypoint_category(skeleton=[[0, 1]])], "dog has a skeleton that is no list of pairs"),
        ([keypoint_category(skeleton=[[1, 5]])], "dog has a skeleton that is no list of pairs"),
        ([keypoint_category(skeleton=3)], "dog has a skeleton that is no list of pairs"),
        (
            [keypoint_category(), CATEGORIES[1] | {"keypoints": ["a"]}],
            "the categories dog and cat have different keypoints",
        ),
    ],
)
def test_refuses_categories(tmp_path, categories, message):
    content = coco(2, [coco_box()], categories=categories)
    with pytest.raises(ValueError, match=message) as caught:
        open_coco(put_coco(tmp_path, "a.json", content), "all", shapes="keypoints")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 600


def test_a_photo_of_another_size(tmp_path):
    content = coco(2, [coco_box(segmentation=[RECTANGLE])])
    content["images"][0] |= {"width": 9, "height": 12}
    source = open_coco(put_coco(tmp_path, "a.json", content), "all", shapes="masks")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0\.png has 12x9 pixels, but its"):
        contents(source)


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_masks_in_batches(tmp_path, skip_corrupt):
    """Padded by a task, texts too; a damaged image is left out."""
    put_coco(tmp_path, "annotations.json", coco(3, MASKS), count=3)
    source = open_coco(tmp_path, "all", shapes="masks", mask_size=5)
    plain = contents(source)
    if skip_corrupt:
        del plain[1]
        (tmp_path / "1.png").write_bytes(b"damaged")

    def prepare(example, seed):
        image = tf.io.decode_png(example["image"])
        missing = 4 - tf.shape(example["masks"])[0]
        masks = tf.pad(example["masks"], [[0, missing], [0, 0], [0, 0]])
        return image, (masks, tf.pad(example["segmentation"], [[0, missing]]), example["size"])

    shapes = ((4, 5, 5), tf.uint8), ((4,), tf.string), ((2,), tf.int32)
    specs = tf.TensorSpec((9, 12, 3), tf.uint8), tuple(tf.TensorSpec(*shape) for shape in shapes)
    batches = evaluation_batches(source, prepare, specs, batch_size=3, skip_corrupt=skip_corrupt)
    ((images, (masks, counts, sizes)),) = batches.as_numpy_iterator()
    assert len(images) == len(plain) and sizes.tolist() == [[9, 12]] * len(plain)
    for row, texts, example in zip(masks, counts, plain, strict=True):
        count = len(example["masks"])
        np.testing.assert_array_equal(row[:count], example["masks"])
        assert texts.tolist() == [*example["segmentation"], *[b""] * (4 - count)]
