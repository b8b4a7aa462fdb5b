"""COCO's metrics against pycocotools by hand, a slow NumPy model, and numbers known before."""

import contextlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.oracles.numpy_coco import average_precision
from training.engine.steps import evaluate, evaluation_step
from training.evaluators.coco import CocoEvaluator
from training.evaluators.coco_evaluation import METRICS
from training.evaluators.fast_evaluation import FastEvaluation

CATEGORIES = [7, 1, 90]  # neither from 0 nor in order
SCALE = np.array([2.5, 0.5], "float32")
ALL = (0, 1e10)
AREAS = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
IOUS = np.linspace(0.5, 0.95, 10)


def scene(seed, images=12, objects=6, detections=15):
    """Lists of images: objects and detections as the oracle takes them, in original pixels."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        corners = rng.random((objects, 2)) * 200
        boxes = np.hstack([corners, corners + np.exp(rng.uniform(2.0, 5.5, (objects, 2)))])
        boxes = boxes.astype("float32").astype("float64")
        labels, crowd = rng.integers(0, 3, objects), rng.random(objects) < 0.2
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) * rng.uniform(0.5, 1, objects)
        own = list(zip(labels.tolist(), crowd.tolist(), boxes, areas, strict=True))
        truth.append(own[: rng.integers(0, objects + 1)])
        near = rng.integers(0, objects, detections)
        sizes = np.tile(boxes[near, 2:] - boxes[near, :2], 2)
        guesses = boxes[near] + sizes * rng.normal(0, 0.08, (detections, 4))
        guesses = (guesses / np.tile(SCALE, 2)).astype("float32") * np.tile(SCALE, 2)
        kinds = np.where(rng.random(detections) < 0.8, labels[near], rng.integers(0, 3, detections))
        scores = rng.permutation(1000)[:detections] / 1000 + len(truth) * 1e-5
        scores = scores.astype("float32").astype("float64")
        order = np.argsort(-scores)[: rng.integers(0, detections + 1)]
        found.append([(int(kinds[k]), float(scores[k]), guesses[k]) for k in order])
    return truth, found


def batch_of(truth, found, first=0, places=(20, 20)):
    """`(targets, outputs)` as the task and the model give them, padded."""
    rows, (most_objects, most_found) = len(truth), places
    targets = {
        "labels": np.full((rows, most_objects), -1, "int32"),
        "original": np.zeros((rows, most_objects, 4), "float32"),
        "crowd": np.zeros((rows, most_objects), bool),
        "area": np.zeros((rows, most_objects), "float32"),
        "scale": np.tile(SCALE, (rows, 1)),
        "index": np.arange(first, first + rows),
    }
    outputs = {
        "boxes": np.zeros((rows, most_found, 4), "float32"),
        "scores": np.zeros((rows, most_found), "float32"),
        "classes": np.full((rows, most_found), -1, "int32"),
        "count": np.array([len(each) for each in found], "int32"),
    }
    for i in range(rows):
        for n, (label, crowd, box, area) in enumerate(truth[i]):
            targets["labels"][i, n], targets["crowd"][i, n] = label, crowd
            targets["original"][i, n], targets["area"][i, n] = box, area
        for n, (label, score, box) in enumerate(found[i]):
            outputs["classes"][i, n], outputs["scores"][i, n] = label, score
            outputs["boxes"][i, n] = box / np.tile(SCALE, 2)
    return targets, outputs


def measured(truth, found, batch=5, evaluator=None):
    """An evaluator that has seen all images in a compiled step, filled up as replicas do it."""
    evaluator = evaluator or CocoEvaluator(CATEGORIES)
    step = tf.function(evaluator.measure, autograph=False)
    for start in range(0, len(truth), batch):
        rows = slice(start, start + batch)
        parts = batch_of(truth[rows], found[rows], start)
        missing = batch - len(truth[rows])
        fill = lambda x: np.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1))  # noqa: B023, E731
        targets, outputs = tf.nest.map_structure(fill, parts)  # labels of 0, numbers of 0
        weights = np.array([1.0] * (batch - missing) + [0.0] * missing, "float32")
        evaluator.update(*step(targets, outputs, weights))
    return evaluator


def by_hand(truth, detections, folder, first_id=1):
    """pycocotools on files."""
    annotations = [
        {
            "image_id": i,
            "category_id": CATEGORIES[label],
            "bbox": [*map(float, box[:2]), *map(float, box[2:] - box[:2])],
            "area": float(np.float32(area)),
            "iscrowd": int(crowd),
        }
        for i, each in enumerate(truth)
        for label, crowd, box, area in each
    ]
    for number, annotation in enumerate(annotations, first_id):
        annotation["id"] = number
    data = {
        "images": [{"id": i, "width": 600, "height": 600} for i in range(len(truth))],
        "categories": [{"id": number, "name": str(number)} for number in CATEGORIES],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(data))
    (folder / "found.json").write_text(json.dumps(detections))
    with contextlib.redirect_stdout(io.StringIO()):
        objects = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(objects, objects.loadRes(str(folder / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, evaluation.stats, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_equals_pycocotools_by_hand(seed, tmp_path, capsys):
    truth, found = scene(seed, images=23)
    evaluator = measured(truth, found)
    result = evaluator.result()
    assert capsys.readouterr().out == ""
    assert list(result) == list(METRICS) and {type(value) for value in result.values()} == {float}
    expected = by_hand(truth, evaluator.detections(), tmp_path)
    assert 0.1 < expected["AP"] < 0.9
    assert result == pytest.approx(expected, abs=1e-6)
    assert evaluator.count == 23


@pytest.mark.parametrize("seed", range(6))
def test_equals_a_slow_model(seed):
    truth, found = scene(seed, images=7)
    result = measured(truth, found).result()

    def slow(ious, **limits):
        return np.mean([average_precision(truth, found, 3, t, **limits) for t in ious], axis=0)

    expected = {"AP50": slow([0.5])[0], "AP75": slow([0.75])[0]}
    expected["AP"], expected["AR_100"] = slow(IOUS)
    expected["AR_1"], expected["AR_10"] = slow(IOUS, most=1)[1], slow(IOUS, most=10)[1]
    for name, areas in AREAS.items():
        expected[f"AP_{name}"], expected[f"AR_{name}"] = slow(IOUS, areas=areas)
    assert result == pytest.approx(expected, abs=1e-6)


def perfect(truth):
    return [[(o[0], 0.9, o[2]) for o in each] for each in truth]


def test_perfect_detections_of_annotations_from_0_on(tmp_path):
    """pycocotools itself takes the object numbered 0 for missed."""
    truth = [[(0, False, np.array([5.0, 8, 40, 60]), 1500.0)]]
    evaluator = measured(truth, perfect(truth))
    assert by_hand(truth, evaluator.detections(), tmp_path, first_id=0)["AP"] == 0
    assert evaluator.result()["AP"] == pytest.approx(1)


def test_perfect_detections():
    truth, _ = scene(3)
    truth = [[(label, False, box, area) for label, _, box, area in each] for each in truth]
    result = measured(truth, perfect(truth)).result()
    rest = [result[name] for name in METRICS if name not in ("AR_1", "AR_10")]
    assert rest == pytest.approx([1.0] * 10)


def test_no_detections():
    truth, _ = scene(0)
    evaluator = measured(truth, [[]] * len(truth))
    assert set(evaluator.result().values()) == {0.0}
    assert evaluator.detections() == []


@pytest.mark.parametrize("kind", ["crowds", "nothing"])
def test_nothing_to_find(kind):
    truth, found = scene(1)
    truth = [[(o[0], True, *o[2:]) for o in each] if kind == "crowds" else [] for each in truth]
    evaluator = measured(truth, found)
    assert set(evaluator.result().values()) == {-1.0}
    assert len(evaluator.detections()) == sum(map(len, found)) > 0
    assert evaluator.improves(-1.0, [-1.0]) and evaluator.improves(0.0, [-1.0])
    assert set(measured(truth, [[]] * len(truth)).result().values()) == {-1.0}


def test_a_class_without_objects_does_not_count():
    truth = [[(0, False, np.array([5.0, 8, 40, 60]), 1500.0)]]
    found = [[*perfect(truth)[0], (1, 0.8, np.array([0.0, 0, 9, 9]))]]
    result = measured(truth, found).result()
    assert result["AP"] == result["AP_medium"] == pytest.approx(1)
    assert result["AP_small"] == result["AP_large"] == -1


def test_detections_are_in_pixels_of_the_image():
    targets, outputs = batch_of([[]], [[(2, 0.5, np.array([10.0, 20, 40, 80]))]], first=1)
    for names, expected in ((None, 1), ({1: "a.jpg"}, "a.jpg"), ([30, 31], 31)):
        evaluator = CocoEvaluator(CATEGORIES, names)
        evaluator.update(*evaluator.measure(targets, outputs, np.ones(1, "float32")))
        (found,) = evaluator.detections()
        assert found == {
            "image_id": expected,
            "category_id": 90,
            "bbox": pytest.approx([10, 20, 30, 60], rel=1e-6),
            "score": 0.5,
        }
        assert json.loads(json.dumps(found)) == found


def test_order_of_batches_makes_no_difference():
    truth, found = scene(2)
    evaluator = CocoEvaluator(CATEGORIES)
    step = tf.function(evaluator.measure, autograph=False)
    for i in np.random.default_rng(0).permutation(len(truth)):
        targets, outputs = batch_of([truth[i]], [found[i]], i, (6 + i, 15 + i))
        evaluator.update(*step(targets, outputs, np.ones(1, "float32")))
    other = measured(truth, found)
    assert evaluator.result() == other.result()
    assert evaluator.detections() == other.detections()


def test_a_box_that_is_not_finite_counts_for_nothing():
    truth = [[(0, False, np.array([5.0, 8, 40, 60]), 1500.0)]]
    found = [[(0, 0.9, np.full(4, np.nan)), (0, 0.8, np.array([0, 0, np.inf, 9]))]]
    evaluator = measured(truth, found)
    assert evaluator.result()["AP"] == 0 and evaluator.detections() == []


def test_in_the_engine():
    """Through the step of the engine, whose model is one that gives back what it gets."""
    truth, found = scene(4)
    evaluator = CocoEvaluator(CATEGORIES)
    step = evaluation_step(tf.distribute.get_strategy(), lambda x, training: x, evaluator)
    batches = [
        tf.nest.map_structure(tf.constant, batch_of(truth[rows], found[rows], rows.start)[::-1])
        for rows in (slice(0, 7), slice(7, len(truth)))
    ]
    assert evaluate(step, evaluator, batches) == measured(truth, found).result()
    evaluate(step, evaluator, batches)  # again: what was before is forgotten
    assert evaluator.count == len(truth)
    with pytest.raises(ValueError, match="not a single image"):
        evaluate(step, evaluator, [])


def test_bad_input():
    with pytest.raises(ValueError, match="`category_ids` must have each number once"):
        CocoEvaluator([1, 2, 1])
    evaluator = measured([[]] * 3, [[]] * 3)
    with pytest.raises(ValueError, match="evaluated once; 0 was there twice"):
        measured([[]], [[]], evaluator=evaluator).result()
    for truth, found, name in (
        ([[(3, False, np.ones(4), 1.0)]], [[]], "labels"),
        ([[]], [[(3, 0.5, np.ones(4))]], "classes"),
    ):
        with pytest.raises(ValueError, match=f'"{name}" must lie in .* Received: 3'):
            measured(truth, found)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_pycocotools(seed):
    """Of all classes, images, areas and thresholds, also where objects share much."""
    rng = np.random.default_rng(seed)
    boxes = [[*rng.integers(0, 20, 2), *rng.integers(1, 80, 2)] for _ in range(400)]
    rows = [
        {
            "id": i + 1,
            "image_id": int(rng.integers(6)),
            "category_id": int(rng.integers(3)),
            "bbox": list(map(float, box)),
            "area": float(box[2] * box[3]),
            "iscrowd": int(rng.random() < 0.2),
            "score": float(rng.integers(50)) / 50,  # some are equal
        }
        for i, box in enumerate(boxes)
    ]
    sides = []
    for part in (rows[:80], rows[80:]):
        data = COCO()
        data.dataset = {
            "images": [{"id": i} for i in range(7)],
            "categories": [{"id": i} for i in range(4)],
            "annotations": part,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            data.createIndex()
        sides.append(data)
    fast, slow = FastEvaluation(*sides, "bbox"), COCOeval(*sides, "bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        fast.evaluate()
        slow.evaluate()
    some = 0
    for mine, theirs in zip(fast.evalImgs, slow.evalImgs, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert mine["dtScores"] == theirs["dtScores"]
            np.testing.assert_array_equal(mine["dtMatches"], theirs["dtMatches"] > 0)
            np.testing.assert_array_equal(mine["dtIgnore"], theirs["dtIgnore"] > 0)
            np.testing.assert_array_equal(mine["gtIgnore"], theirs["gtIgnore"] > 0)
            some += mine["dtMatches"].sum()
    assert some > 500


def test_a_table_of_the_classes():
    """AP is the mean of those classes that have something to find."""
    truth, found = scene(5)
    truth = [[one for one in each if one[0] != 1] for each in truth]  # nothing of the second class
    evaluator = CocoEvaluator(CATEGORIES, class_names=["a", "b", "c"])
    evaluator.update(*evaluator.measure(*batch_of(truth, found), np.ones(len(truth), "float32")))
    metrics, table = evaluator.result(), evaluator.table()
    assert [row["name"] for row in table] == ["a", "b", "c"]
    assert [row["objects"] for row in table] == [
        sum(label == k and not crowd for each in truth for label, crowd, *_ in each)
        for k in range(3)
    ]
    assert table[1] == {"name": "b", "AP": -1, "AP50": -1, "AP75": -1, "objects": 0}
    for key in ("AP", "AP50", "AP75"):
        assert np.mean([table[0][key], table[2][key]]) == pytest.approx(metrics[key], abs=1e-12)
