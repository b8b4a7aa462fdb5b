"""Metrics of masks and keypoints against pycocotools by hand, and pasting against a slow model."""

import contextlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.support.dense_sets import put_coco
from tests.support.instances import CATEGORIES, SCALE, SIDE, SIZE, scene
from training.data.sources.coco_json import open_coco
from training.data.sources.composed import composed_source
from training.evaluators.coco import CocoEvaluator
from training.evaluators.coco_evaluation import KEYPOINT_METRICS, METRICS
from training.evaluators.shapes import COCO_KEYPOINTS, KeypointShapes, MaskShapes, pasted

# --- Pasting ---


def slowly_pasted(mask, box, size):
    """Pixel by pixel: the four nearest places, weighed by how near their middles are."""
    side, found = len(mask), np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * side - 0.5
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * side - 0.5
            for i in (int(np.floor(y)), int(np.floor(y)) + 1):
                for j in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= i < side and 0 <= j < side:
                        found[row, column] += mask[i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return found


@pytest.mark.parametrize(
    "box",
    [
        (3, 2, 17, 16),  # a pixel a place
        (2.3, 1.6, 27.9, 18.2),
        (-6.5, -3, 12.2, 40),  # out of the image
        (7.1, 8.2, 9.3, 9.0),  # hardly a pixel
    ],
)
def test_pasting(box):
    rng = np.random.default_rng(0)
    for _ in range(3):
        mask = rng.random((SIDE, SIDE)).astype("float32")
        slow = slowly_pasted(mask, box, (20, 30))
        sure = np.abs(slow - 0.5) > 1e-6
        np.testing.assert_array_equal(pasted(mask, box, (20, 30))[sure], (slow >= 0.5)[sure])
        assert sure.all()


def test_pasting_by_hand():
    """Whole masks fill their box, those of a pixel a place are as they are."""
    full = pasted(np.ones((28, 28)), (2, 1, 5, 3), (4, 6))
    assert full[1:3, 2:5].all() and full.sum() == 6
    mask = np.random.default_rng(0).random((7, 7))
    np.testing.assert_array_equal(pasted(mask, (3, 2, 10, 9), (12, 12))[2:9, 3:10], mask >= 0.5)
    for box in ((40, 1, 50, 9), (3, 3, 3, 9), (9, 9, 3, 3), (-9, -9, -1, -1), (1e30, 0, 2e30, 9)):
        assert not pasted(mask, box, (12, 12)).any()


def measured(targets, outputs, shapes, batch=5, image_ids=None):
    """An evaluator that has seen all images in a compiled step, filled up as replicas do it."""
    evaluator = CocoEvaluator(CATEGORIES, image_ids, shapes=shapes)
    step = tf.function(evaluator.measure, autograph=False)
    count = len(targets["index"])
    for start in range(0, count, batch):
        parts = [{k: v[start : start + batch] for k, v in d.items()} for d in (targets, outputs)]
        missing = batch - len(parts[0]["index"])
        weights = np.array([1.0] * (batch - missing) + [0.0] * missing, "float32")
        filled = tf.nest.map_structure(
            lambda x: np.concatenate([x, np.repeat(x[:1], missing, axis=0)]),  # noqa: B023
            parts,
        )
        evaluator.update(*step(*tf.nest.map_structure(tf.constant, filled), weights))
    assert evaluator.count == count
    return evaluator


def truth_of(targets):
    """The annotations of a COCO file."""
    annotations = []
    for i, n in zip(*np.nonzero(targets["labels"] >= 0), strict=True):
        box = targets["original"][i, n].astype("float64")
        points = targets["original_keypoints"][i, n].astype("float64")
        # COCO counts pixels by whole numbers
        points[:, :2] = np.where(points[:, 2:] > 0, points[:, :2] - 0.5, 0)
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": int(i),
                "category_id": CATEGORIES[targets["labels"][i, n]],
                "bbox": [*box[:2], *(box[2:] - box[:2])],
                "area": float(targets["area"][i, n]),
                "iscrowd": int(targets["crowd"][i, n]),
                "segmentation": {
                    "size": list(SIZE),
                    "counts": targets["segmentation"][i, n].decode(),
                },
                "keypoints": points.ravel().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
            }
        )
    return {
        "images": [{"id": int(i), "width": SIZE[1], "height": SIZE[0]} for i in targets["index"]],
        "categories": [{"id": number, "name": str(number)} for number in CATEGORIES],
        "annotations": annotations,
    }


def by_hand(truth, detections, kind, folder, sigmas=None):
    """pycocotools on files: as results of masks or keypoints alone are handed in."""
    if kind != "bbox":
        detections = [{k: v for k, v in d.items() if k != "bbox"} for d in detections]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(detections))
    with contextlib.redirect_stdout(io.StringIO()):
        objects = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(objects, objects.loadRes(str(folder / "found.json")), kind)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = KEYPOINT_METRICS if kind == "keypoints" else METRICS
    prefix = {"bbox": "", "segm": "mask_", "keypoints": "keypoint_"}[kind]
    values = zip(names, evaluation.stats, strict=True)
    return {prefix + name: value for name, value in values}


# --- Metrics ---


@pytest.mark.parametrize("seed", range(3))
def test_masks_equal_pycocotools_by_hand(seed, tmp_path):
    targets, outputs = scene(seed, 2)
    evaluator = measured(targets, outputs, MaskShapes())
    result, detections, truth = evaluator.result(), evaluator.detections(), truth_of(targets)
    expected = by_hand(truth, detections, "segm", tmp_path)
    assert 0.03 < expected["mask_AP"] < 0.9 and expected["mask_AP_small"] > 0.1
    assert result == pytest.approx(
        by_hand(truth, detections, "bbox", tmp_path) | expected, abs=1e-6
    )
    assert list(result) == [*METRICS, *(f"mask_{name}" for name in METRICS)]
    assert evaluator.monitor == "mask_AP"
    table = evaluator.table()
    assert list(table[0]) == [
        *("name", "AP", "AP50", "AP75", "mask_AP", "mask_AP50", "mask_AP75", "objects")
    ]
    for key in ("AP", "mask_AP50"):
        assert np.mean([row[key] for row in table]) == pytest.approx(result[key], abs=1e-12)


def test_masks_that_are_written_are_those_pasted():
    targets, outputs = scene(0, 2)
    found = measured(targets, outputs, MaskShapes(), image_ids=list("abcdefghijklm")).detections()
    assert found == json.loads(json.dumps(found)) and len(found) == outputs["count"].sum()
    row = int(np.flatnonzero(outputs["count"])[0])
    assert found[0]["image_id"] == "abcdefghijklm"[row]
    box = outputs["boxes"][row, 0] * np.tile(SCALE, 2)
    expected = pasted(outputs["box_masks"][row, 0], box, SIZE)
    assert expected.sum() > 100
    assert found[0]["segmentation"]["size"] == list(SIZE)
    np.testing.assert_array_equal(coco_mask.decode(found[0]["segmentation"]), expected)


@pytest.mark.parametrize("names", [COCO_KEYPOINTS, tuple("abcd")])
@pytest.mark.parametrize("seed", range(3))
def test_keypoints_equal_pycocotools_by_hand(seed, names, tmp_path):
    targets, outputs = scene(seed, len(names))
    evaluator = measured(targets, outputs, KeypointShapes(names))
    result, detections, truth = evaluator.result(), evaluator.detections(), truth_of(targets)
    sigmas = None if names == COCO_KEYPOINTS else [0.05] * len(names)
    expected = by_hand(truth, detections, "keypoints", tmp_path, sigmas)
    assert 0.03 < expected["keypoint_AP"] < 0.95
    assert result == pytest.approx(
        by_hand(truth, detections, "bbox", tmp_path) | expected, abs=1e-6
    )
    assert list(result) == [*METRICS, *(f"keypoint_{name}" for name in KEYPOINT_METRICS)]
    assert evaluator.monitor == "keypoint_AP" and "keypoint_AP50" in evaluator.table()[0]
    assert json.loads(json.dumps(detections)) == detections
    row = int(np.flatnonzero(outputs["count"])[0])
    points = np.array(detections[0]["keypoints"]).reshape(-1, 3)
    first = outputs["keypoints"][row, 0]
    np.testing.assert_allclose(points[:, :2], first[:, :2] * SCALE - 0.5, rtol=1e-6)
    np.testing.assert_array_equal(points[:, 2], first[:, 2])


def test_areas_of_more_masks_than_pycocotools_takes_at_once():
    square = np.zeros((20, 30), "uint8", order="F")
    square[5:15, 5:15] = 1
    found = [{"segmentation": coco_mask.encode(square)}] * 300
    assert MaskShapes().areas(found).tolist() == [100.0] * 300


def test_keypoints_that_are_not_finite_count_for_nothing():
    targets, outputs = scene(1, 4)
    outputs["count"][:] = 5
    before = measured(targets, outputs, KeypointShapes("abcd")).detections()
    outputs["keypoints"][2, 3, 1, 0] = np.nan
    after = measured(targets, outputs, KeypointShapes("abcd"))
    del before[2 * 5 + 3]
    assert after.detections() == before
    assert np.isfinite(list(after.result().values())).all()


@pytest.mark.parametrize("shapes", [MaskShapes(), KeypointShapes("abcd")])
def test_no_detections_and_nothing_to_find(shapes):
    targets, outputs = scene(1, 4)
    outputs["count"][:] = 0
    evaluator = measured(targets, outputs, shapes)
    assert evaluator.detections() == []
    assert evaluator.result()[evaluator.monitor] == 0
    targets, outputs = scene(1, 4)
    targets["labels"][:] = -1
    assert set(measured(targets, outputs, shapes).result().values()) == {-1.0}


# --- From a file to its metrics ---


def as_outputs(example, **more):
    """A model that finds what there is, the first best."""
    count = len(example["labels"])
    return {
        "boxes": example["boxes"][None],
        "scores": np.linspace(0.9, 0.5, count, dtype="float32")[None],
        "classes": example["labels"][None].astype("int32"),
        "count": np.array([count], "int32"),
        **{name: value[None] for name, value in more.items()},
    }


def as_targets(example, index):
    names = {"boxes": "original", "keypoints": "original_keypoints"}
    targets = {names.get(k, k): v[None] for k, v in example.items() if k not in ("image", "masks")}
    return targets | {"scale": np.ones((1, 2), "float32"), "index": np.array([index])}


def perfect(source, shapes, shape_of, count):
    """An evaluator that has seen images of a source, and their objects as what was found."""
    evaluator = CocoEvaluator(source.info["category_ids"], source.ids, shapes=shapes)
    examples = source.records(None).take(count).map(source.example_of).as_numpy_iterator()
    for index, example in enumerate(examples):
        outputs = as_outputs(example, **shape_of(example))
        rows = evaluator.measure(as_targets(example, index), outputs, np.ones(1, "float32"))
        evaluator.update(*rows)
    return evaluator


def test_perfect_masks():
    """As fine as 112 places a side, of what the composed set shows."""
    source = composed_source("test", "masks")
    evaluator = perfect(source, MaskShapes(), lambda e: {"box_masks": e["masks"] / 255}, 20)
    result = evaluator.result()
    assert result["AP"] == pytest.approx(1) and result["mask_AP50"] == pytest.approx(1)
    assert result["mask_AP"] > 0.97


def test_perfect_keypoints():
    source = composed_source("test", "keypoints")
    shapes = KeypointShapes(source.info["keypoint_names"])
    evaluator = perfect(source, shapes, lambda e: {"keypoints": e["keypoints"]}, 20)
    result = evaluator.result()
    for name in ("keypoint_AP", "keypoint_AP75", "keypoint_AR"):
        assert result[name] == pytest.approx(1)


RECTANGLES = [(1, 2, 4, 5), (5, 1, 6, 7), (0, 0, 12, 9), (7, 3, 4, 4)]


def on_disk(folder):
    """A file of rectangles, each with its corners as keypoints."""
    annotations = []
    for n, (x, y, width, height) in enumerate(RECTANGLES):
        corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
        annotations.append(
            {
                "id": n + 1,
                "image_id": 10 + n // 2,
                "category_id": 3,
                "bbox": [x, y, width, height],
                "area": width * height,
                "iscrowd": 0,
                "segmentation": [[side for corner in corners for side in corner]],
                "keypoints": [number for a, b in corners[:3] for number in (a, b, 2)],
                "num_keypoints": 3,
            }
        )
    images = [{"id": 10 + i, "file_name": f"{i}.png", "width": 12, "height": 9} for i in (0, 1)]
    names = [f"corner {n}" for n in range(3)]
    categories = [{"id": 3, "name": "box", "keypoints": names}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    put_coco(folder, "a.json", content)
    return content, names


@pytest.mark.parametrize("kind", ["masks", "keypoints"])
def test_perfect_detections_of_a_file(kind, tmp_path):
    """What is written is right by the file itself, without this package."""
    content, names = on_disk(tmp_path)
    source = open_coco(tmp_path / "a.json", "all", shapes=kind)
    if kind == "masks":
        evaluator = perfect(source, MaskShapes(), lambda e: {"box_masks": e["masks"] / 255}, 2)
        expected = by_hand(content, evaluator.detections(), "segm", tmp_path)
    else:
        shapes = KeypointShapes(names)
        evaluator = perfect(source, shapes, lambda e: {"keypoints": e["keypoints"]}, 2)
        expected = by_hand(content, evaluator.detections(), "keypoints", tmp_path, [0.05] * 3)
        points = evaluator.detections()[0]["keypoints"]
        assert points == content["annotations"][0]["keypoints"]
    result = evaluator.result()
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert result["AP"] == pytest.approx(1) and result[evaluator.monitor] == pytest.approx(1)
