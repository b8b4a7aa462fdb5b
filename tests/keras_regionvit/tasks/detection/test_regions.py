"""ROIAlign, proposals, draws, masks and keypoints against slow arithmetic and torchvision."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_regionvit.tasks.detection import keypoints as points
from keras_regionvit.tasks.detection.instance_masks import MaskOfClass, paste, within_regions
from keras_regionvit.tasks.detection.nms import kept
from keras_regionvit.tasks.detection.proposals import propose
from keras_regionvit.tasks.detection.region_decoding import BOX_WEIGHTS, RegionDecoder
from keras_regionvit.tasks.detection.region_heads import enlarged
from keras_regionvit.tasks.detection.region_training import draw_regions
from keras_regionvit.tasks.detection.roi_align import levels_of, roi_align
from keras_regionvit.tasks.detection.rpn import LEVELS, anchor_sizes
from keras_regionvit.tasks.detection.sampling import sample, uniform
from tests.oracles import numpy_detection as slow_detection
from tests.oracles import numpy_regions as slow
from tests.support.torchvision_ops import import_torchvision
from tests.support.torchvision_ops import roi_align as torchvision_roi_align

SIZE = (96, 160)
BOXES = {  # xyxy in an image of 96x160 pixels
    "inside": [20, 12, 75, 60],
    "at the border": [100, 30, 160, 96],
    "beyond the border": [-20, -14, 40, 30],
    "outside": [300, 300, 340, 350],
    "less than a pixel": [50.3, 40.2, 50.9, 40.4],
    "empty": [30, 30, 30, 30],
    "all of it": [0, 0, 160, 96],
    "large": [-300, -200, 600, 500],
}


def random_boxes(rng, *shape, size=(96, 160)):
    corner = rng.uniform(0, 0.7, (*shape, 2)) * size[::-1]
    return np.concatenate([corner, corner + rng.uniform(4, 60, (*shape, 2))], -1).astype("float32")


def maps_of(rng, channels=3, batch=1):
    return {
        level: rng.normal(size=(batch, SIZE[0] >> level, SIZE[1] >> level, channels)).astype("f4")
        for level in (2, 3, 4, 5)
    }


def test_levels():
    sides = np.array([0, 1, 55.9, 56, 111.9, 112, 223.9, 224, 447.9, 448, 900, 5000], "float32")
    boxes = np.stack([sides * 0, sides * 0, sides, sides], -1)
    found = np.asarray(levels_of(boxes, (2, 3, 4, 5)))
    assert found.tolist() == [2, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5]
    expected = [slow.level_of(box, 2, 5) for box in boxes[1:]]
    assert found[1:].tolist() == expected


@pytest.mark.parametrize("size", [7, 14])
def test_roi_align(size):
    rng = np.random.default_rng(size)
    maps = maps_of(rng, batch=2)
    boxes = np.array([list(BOXES.values()), random_boxes(rng, len(BOXES))], "float32")
    found = roi_align({k: tf.constant(v) for k, v in maps.items()}, boxes, size)
    assert found.shape == (2, len(BOXES), size, size, 3)
    for i in range(2):
        of_image = {level: x[i].astype("float64") for level, x in maps.items()}
        for r, box in enumerate(boxes[i].astype("float64")):
            expected = slow.roi_align(of_image, box, size, 2)
            np.testing.assert_allclose(found[i, r], expected, atol=2e-5, err_msg=str(box))


def test_roi_align_of_many_boxes_is_that_of_each():
    rng = np.random.default_rng(0)
    maps, boxes = maps_of(rng), random_boxes(rng, 1, 300)
    found = roi_align({k: tf.constant(v) for k, v in maps.items()}, boxes, 2)
    for r in (0, 255, 256, 299):
        alone = roi_align({k: tf.constant(v) for k, v in maps.items()}, boxes[:, r : r + 1], 2)
        np.testing.assert_allclose(found[:, r], alone[:, 0], atol=1e-6)


@pytest.mark.parametrize("name", BOXES)
def test_roi_align_and_its_gradient_are_those_of_torchvision(name):
    torch = pytest.importorskip("torch", reason="needs torchvision")

    rng = np.random.default_rng(3)
    level = slow.level_of(BOXES[name], 2, 5) if name != "empty" else 2
    image = rng.normal(size=(1, SIZE[0] >> level, SIZE[1] >> level, 5)).astype("float32")
    weights = rng.normal(size=(1, 1, 7, 7, 5)).astype("float32")
    with tf.GradientTape() as tape:
        maps = {k: tf.zeros((1, SIZE[0] >> k, SIZE[1] >> k, 5)) for k in (2, 3, 4, 5)}
        maps[level] = tf.constant(image)
        tape.watch(maps[level])
        found = roi_align(maps, np.array([[BOXES[name]]], "float32"), 7)
        total = tf.reduce_sum(found * weights)
    theirs = torch.from_numpy(image.transpose(0, 3, 1, 2)).requires_grad_()
    box = torch.tensor([[0, *BOXES[name]]], dtype=torch.float32)
    expected = torchvision_roi_align(theirs, box, 7, 1 / 2**level, 2)
    (expected * torch.from_numpy(weights[0].transpose(0, 3, 1, 2))).sum().backward()
    expected = expected.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found[0], expected, atol=5e-5)
    gradient = tape.gradient(total, maps[level], unconnected_gradients="zero")
    expected = theirs.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, atol=5e-5)


@pytest.mark.parametrize("count", [1, 40, 300])
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "XLA"])
def test_suppression_without_classes(count, traced):
    rng = np.random.default_rng(count)
    boxes = random_boxes(rng, 2, count, size=(60, 60))
    real = rng.random((2, count)) < 0.8
    compiled = tf.function(kept, autograph=False, jit_compile=True)
    found = (compiled if traced else kept)(tf.constant(boxes), tf.constant(real), 0.5)
    for i in range(2):
        (numbers,) = np.nonzero(real[i])
        expected = numbers[slow.nms(boxes[i][numbers].astype("float64"), 0.5)]
        assert np.flatnonzero(found[i]).tolist() == expected.tolist()
        scores = np.arange(len(numbers), 0, -1).astype("float32")
        theirs = tf.image.non_max_suppression(boxes[i][numbers], scores, count, 0.5)
        assert np.flatnonzero(found[i]).tolist() == sorted(numbers[theirs])


def test_suppression_of_a_long_chain():
    start = np.arange(50, dtype="float32") * 4  # each shares 0.43 with the next
    boxes = np.stack([start, start * 0, start + 10, start * 0 + 10], -1)[None]
    found = kept(boxes, np.ones((1, 50), bool), 0.4)
    assert np.flatnonzero(found[0]).tolist() == list(range(0, 50, 2))


@pytest.mark.parametrize("count", [5, 60])
def test_proposals(count):
    rng = np.random.default_rng(count)
    outputs, expected = {}, []
    for level in LEVELS:
        shape = (-(-64 // 2**level), -(-96 // 2**level))
        objectness = rng.normal(size=(1, *shape, 3)).astype("float32")
        deltas = rng.normal(0, 0.3, (1, *shape, 12)).astype("float32")
        outputs |= {f"p{level}_objectness": objectness, f"p{level}_deltas": deltas}
        anchors = slow_detection.anchors(*shape, 2**level, anchor_sizes(level), (0.5, 1, 2))
        scores = objectness.ravel()
        order = np.argsort(-scores, kind="stable")[:20]
        boxes = []
        for a, (dx, dy, dw, dh) in zip(anchors, deltas.reshape(-1, 4).astype("f8"), strict=True):
            w, h = a[2] - a[0], a[3] - a[1]
            x, y = (a[0] + a[2]) / 2 + dx * w, (a[1] + a[3]) / 2 + dy * h
            w, h = w * np.exp(dw) / 2, h * np.exp(dh) / 2
            box = [x - w, y - h, x + w, y + h]
            boxes.append(np.clip(box, 0, [90, 60, 90, 60]))
        there = [i for i in order if np.prod(boxes[i][2:] - boxes[i][:2]) > 0]
        stay = slow.nms([boxes[i] for i in there], 0.7)
        expected += [(scores[there[i]], boxes[there[i]]) for i in stay]
    expected = [box for _, box in sorted(expected, key=lambda pair: -pair[0])][:count]
    boxes, real = propose(outputs, 60, 90, candidates=20, count=count, iou_threshold=0.7)
    assert boxes.shape == (1, count, 4)
    assert int(np.sum(real)) == len(expected)
    np.testing.assert_allclose(boxes[0, : len(expected)], expected, rtol=1e-4, atol=1e-3)
    assert not np.any(np.asarray(boxes)[~np.asarray(real)])


def test_an_image_without_proposals():
    outputs = {}
    for level in LEVELS:
        shape = (1, -(-64 // 2**level), -(-64 // 2**level))
        outputs[f"p{level}_objectness"] = np.zeros((*shape, 3), "float32")
        deltas = np.zeros((*shape, 3, 4), "float32")
        deltas[..., :2] = -1e6  # all beyond the border
        outputs[f"p{level}_deltas"] = deltas.reshape(*shape, 12)
    boxes, real = propose(outputs, 64, 64, candidates=20, count=30, iou_threshold=0.7)
    assert not np.any(real) and not np.any(boxes)


def test_draws_are_even_and_follow_from_the_seed():
    found = np.asarray(uniform(ops.array([1, 2, 1]), 20_000))
    np.testing.assert_array_equal(found[0], found[2])
    assert abs(np.corrcoef(found[:2])[0, 1]) < 0.03
    assert abs(np.corrcoef(found[0, 1:], found[0, :-1])[0, 1]) < 0.03
    counts, _ = np.histogram(found[:2], 20, (0, 1))
    assert np.all(np.abs(counts - 2000) < 5 * 2000**0.5)
    assert found.min() >= 0 and found.max() < 1


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [(50, 200, (8, 24)), (3, 200, (3, 29)), (50, 10, (8, 10)), (0, 5, (0, 5)), (0, 0, (0, 0))],
)
def test_samples(positives, negatives, expected):
    kinds = np.zeros(300, int)
    kinds[:positives], kinds[positives : positives + negatives] = 1, 2
    kinds = np.random.default_rng(0).permutation(kinds)
    chosen = {}
    for seed in (4, 5):
        index, counts = map(
            np.asarray, sample(kinds[None] == 1, kinds[None] == 2, ops.array([seed]), 32, 0.25)
        )
        assert index.shape == counts.shape == (1, 32)
        assert index.min() >= 0 and index.max() < 300
        found = kinds[index[counts]]
        assert (np.sum(found == 1), np.sum(found == 2)) == expected
        assert not np.any(found == 0)
        assert np.all(np.diff(found) >= 0)  # those with an object first
        assert len(set(index[counts].tolist())) == counts.sum()
        chosen[seed] = set(index[counts].tolist())
    if expected[0] == 8:
        assert chosen[4] != chosen[5]


def test_samples_of_fewer_candidates_than_are_wanted():
    index, counts = sample(
        np.array([[True, False]]), np.array([[False, True]]), ops.array([0]), 8, 0.5
    )
    assert np.asarray(index)[np.asarray(counts)].tolist() == [0, 1]
    assert np.max(index) < 2


def test_every_candidate_is_drawn_as_often():
    positive = np.ones((2000, 20), bool)
    index, _ = sample(positive, ~positive, ops.arange(2000), 16, 0.25)
    counts = np.bincount(np.asarray(index)[:, :4].ravel(), minlength=20)
    assert np.all(np.abs(counts - 400) < 5 * 400**0.5)


def test_regions_are_those_of_the_matching():
    rng = np.random.default_rng(2)
    boxes = random_boxes(rng, 2, 4)
    labels = np.array([[0, 2, 1, -1], [-1] * 4], "int32")
    proposals = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), random_boxes(rng, 2, 30)], 1)
    proposals, real = proposals.astype("float32"), rng.random((2, 34)) < 0.9
    drawn = draw_regions(proposals, real, boxes, labels, ops.array([1, 2]), 64)
    drawn = {name: np.asarray(value) for name, value in drawn.items()}
    for i, count in enumerate((3, 0)):
        counts = drawn["region_counts"][i]
        candidates = [*proposals[i][real[i]], *boxes[i][:count]]
        assert counts.sum() == min(len(candidates), 64) or count
        for region, found in zip(
            drawn["regions"][i][counts], drawn["region_object"][i][counts], strict=True
        ):
            assert any(np.array_equal(region, candidate) for candidate in candidates)
            shared = [slow_detection.iou(box, region) for box in boxes[i][:count]]
            expected = int(np.argmax(shared)) if max(shared, default=0) >= 0.5 else -1
            assert found == expected
        assert not np.any(drawn["regions"][i][~counts])
        assert np.all(drawn["region_object"][i][~counts] == -1)
    # the objects themselves are among the regions
    for box in boxes[0, :3]:
        assert any(np.array_equal(box, region) for region in drawn["regions"][0])


def test_detections_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    regions = random_boxes(rng, 1, 20)
    real = np.arange(20)[None] < 17
    scores = rng.normal(0, 2, (20, 4)).astype("float32")
    deltas = rng.normal(0, 1, (20, 12)).astype("float32")
    image = np.zeros((1, 96, 160, 3), "float32")
    inputs = {"image": image, "boxes": regions, "real": real, "scores": scores, "deltas": deltas}
    found = RegionDecoder(3, score_threshold=0.1, max_detections=30)(inputs)
    candidates = []
    for r in range(17):
        probabilities = np.exp(scores[r].astype("f8")) / np.exp(scores[r].astype("f8")).sum()
        x1, y1, x2, y2 = regions[0, r].astype("f8")
        for k in range(3):
            dx, dy, dw, dh = deltas[r, 4 * k : 4 * k + 4] / np.array(BOX_WEIGHTS)
            x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
            w, h = (x2 - x1) * np.exp(dw) / 2, (y2 - y1) * np.exp(dh) / 2
            box = np.clip([x - w, y - h, x + w, y + h], 0, [160, 96, 160, 96])
            candidates.append((box, probabilities[k], k))
    boxes, confidences, classes = (np.array(x) for x in zip(*candidates, strict=True))
    stay = slow_detection.nms(boxes, confidences, classes, 0.5, 0.1, 30)
    assert int(found["count"][0]) == len(stay) > 3
    np.testing.assert_allclose(found["boxes"][0, : len(stay)], boxes[stay], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found["scores"][0, : len(stay)], confidences[stay], rtol=1e-5)
    assert np.asarray(found["classes"])[0, : len(stay)].tolist() == classes[stay].tolist()


def test_masks_within_regions():
    rng = np.random.default_rng(1)
    boxes = random_boxes(rng, 1, 3)
    regions = boxes + rng.normal(0, 5, boxes.shape).astype("float32")
    regions[0, 2] = boxes[0, 2] + 500  # they have nothing in common
    masks = (rng.random((1, 3, 9, 9)) < 0.6).astype("float32")
    found = np.asarray(within_regions(masks, boxes, regions, 6))
    for r in range(3):
        expected = slow.covered(masks[0, r], boxes[0, r], regions[0, r], 6)
        np.testing.assert_allclose(found[0, r], expected, atol=0.02)
    assert not found[0, 2].any()
    same = within_regions(masks, boxes, boxes, 9)
    np.testing.assert_allclose(same, masks, atol=1e-4)


def test_pasted_masks():
    rng = np.random.default_rng(1)
    boxes = random_boxes(rng, 1, 4, size=(24, 30))
    boxes[0, 1] = [-5.0, 3.2, 12.0, 40.0]  # beyond the border
    boxes[0, 2] = [7.2, 8.1, 7.9, 9.4]  # less than a pixel
    masks = rng.random((1, 4, 7, 7)).astype("float32")
    found = paste(masks, boxes, 24, 30)
    assert found.shape == (1, 4, 24, 30)
    for n in range(4):
        expected = slow.paste(masks[0, n].astype("f8"), boxes[0, n].astype("f8"), 24, 30)
        np.testing.assert_allclose(found[0, n], expected, atol=1e-4)
    assert not np.any(paste(masks, boxes * 0, 24, 30) >= 0.5)


def test_masks_are_those_of_the_classes():
    logits = np.random.default_rng(0).normal(size=(3, 4, 4, 5)).astype("float32")
    classes = np.array([[4, 0, -1]], "int32")
    found = MaskOfClass()([logits, classes])
    assert found.shape == (1, 3, 4, 4)
    np.testing.assert_allclose(found[0, 0], 1 / (1 + np.exp(-logits[0, ..., 4])), rtol=1e-5)
    np.testing.assert_allclose(found[0, 1], 1 / (1 + np.exp(-logits[1, ..., 0])), rtol=1e-5)
    assert not np.any(found[0, 2])


def test_places_of_keypoints():
    regions = np.array([[10.0, 20.0, 38.0, 76.0]], "float32")
    keypoints = np.array(
        [
            [[10, 20, 2], [37.9, 75.9, 1], [38, 76, 2], [20, 30, 0], [9.9, 30, 2], [20, 76.1, 2]],
        ],
        "float32",
    )
    places, counts = map(np.asarray, points.places_of(keypoints, regions, 56))
    assert counts[0].tolist() == [True, True, True, False, False, False]
    assert places[0, :3].tolist() == [0, 56 * 56 - 1, 56 * 56 - 1]
    assert places[0, 3:].tolist() == [0, 0, 0]


def smooth_heatmaps(rng, count, size, keypoints):
    """Heatmaps with one summit, somewhere between the places."""
    y, x = np.mgrid[:size, :size] + 0.5
    centres = rng.uniform(2, size - 2, (count, keypoints, 2))
    return np.moveaxis(
        [[-((y - a) ** 2 + (x - b) ** 2) / 8 for a, b in of_object] for of_object in centres],
        1,
        -1,
    ).astype("float32"), centres


@pytest.mark.parametrize("kind", ["smooth", "random"])
def test_decoded_heatmaps(kind):
    rng = np.random.default_rng(4)
    maps, centres = smooth_heatmaps(rng, 5, 12, 3)
    if kind == "random":
        maps = rng.normal(size=maps.shape).astype("float32")
        maps[0, 0, 0] = maps[1, -1, -1] = 9.0  # in corners
    boxes = random_boxes(rng, 5)
    found = points.decode(maps, boxes)
    assert found.shape == (5, 3, 3)
    for n in range(5):
        for k in range(3):
            expected = slow.decode_heatmap(maps[n, ..., k].astype("f8"), boxes[n], points.FINE)
            np.testing.assert_allclose(found[n, k], expected, rtol=1e-4, atol=1e-3)
            if kind == "smooth":
                side = (boxes[n, 2:] - boxes[n, :2])[::-1]
                where = boxes[n, :2][::-1] + centres[n, k] / 12 * side
                assert np.all(np.abs(found[n, k, :2][::-1] - where) <= side / 12 * 0.3)


def test_keypoints_are_near_those_of_torchvision():
    import_torchvision()
    import torch
    from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

    rng = np.random.default_rng(6)
    maps, _ = smooth_heatmaps(rng, 6, 56, 4)
    boxes = random_boxes(rng, 6, size=(500, 500))
    found = np.asarray(points.decode(maps, boxes))
    theirs, _ = heatmaps_to_keypoints(
        torch.from_numpy(maps.transpose(0, 3, 1, 2)), torch.from_numpy(boxes)
    )
    theirs = theirs.numpy()  # (n, K, 3): theirs are centres of pixels of the box
    side = (boxes[:, 2:] - boxes[:, :2])[:, None]
    allowed = np.maximum(0.5, side / 56 / 8) + 0.5
    assert np.all(np.abs(found[..., :2] - theirs[..., :2]) <= allowed)


def test_heatmaps_are_enlarged_as_by_torch():
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).normal(size=(2, 28, 28, 3)).astype("float32")
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(maps.transpose(0, 3, 1, 2)), scale_factor=2, mode="bilinear"
    )
    np.testing.assert_allclose(enlarged(maps), theirs.numpy().transpose(0, 2, 3, 1), atol=1e-6)
