"""Metrics of masks against a slow count of pixels and Keras' own."""

import csv
import io

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.engine.steps import evaluate, evaluation_step
from training.evaluators.mean_iou import MeanIoUEvaluator, PhotoSizeEvaluator

NAMES = ("wall", "sky", "tree", "sea", "boat")


def scene(seed=0, images=7, height=5, width=11, unused=()):
    """Masks with pixels of no class, and logits that are right more often than not."""
    rng = np.random.default_rng(seed)
    kinds = [k for k in range(len(NAMES)) if k not in unused]
    masks = rng.choice(kinds, (images, height, width)).astype("int32")
    logits = rng.normal(size=(*masks.shape, len(NAMES))) + 1.5 * np.eye(len(NAMES))[masks]
    logits[..., list(unused)] = -99
    masks[rng.random(masks.shape) < 0.2] = 255
    return masks, logits.astype("float32")


def measured(masks, logits, batch=3, evaluator=None):
    """An evaluator that has seen all images in a compiled step, filled up as replicas do it."""
    evaluator = evaluator or MeanIoUEvaluator(NAMES)
    step = tf.function(evaluator.measure, autograph=False)
    for start in range(0, len(masks), batch):
        mask, outputs = masks[start : start + batch], logits[start : start + batch]
        missing = batch - len(mask)
        mask = np.pad(mask, [(0, missing), (0, 0), (0, 0)])  # filled up with class 0
        outputs = np.pad(outputs, [(0, missing), (0, 0), (0, 0), (0, 0)])
        weights = np.array([1.0] * (batch - missing) + [0.0] * missing, "float32")
        evaluator.update(*step({"mask": mask, "index": np.arange(batch)}, outputs, weights))
    return evaluator


def slow_table(masks, logits):
    """`(iou, accuracy, pixels)` of each class, a pixel at a time."""
    shared, truth, either = ([0] * len(NAMES) for _ in range(3))
    for place in np.ndindex(masks.shape):
        label, found = masks[place], int(np.argmax(logits[place]))
        if label == 255:
            continue
        truth[label] += 1
        shared[label] += label == found
        for kind in {int(label), found}:
            either[kind] += 1
    share = lambda part, whole: part / whole if whole else float("nan")  # noqa: E731
    return [
        (share(shared[k], either[k]), share(shared[k], truth[k]), truth[k])
        for k in range(len(NAMES))
    ]


@pytest.mark.parametrize("unused", [(), (0,), (2, 4)])
def test_equals_a_slow_count(unused):
    masks, logits = scene(len(unused), unused=unused)
    evaluator = measured(masks, logits)
    expected = slow_table(masks, logits)
    table = evaluator.table()
    assert [row["name"] for row in table] == list(NAMES)
    for row, values in zip(table, expected, strict=True):
        found = (row["iou"], row["accuracy"], row["pixels"])
        assert found == pytest.approx(values, abs=1e-12, nan_ok=True)
        assert (row["pixels"] == 0) == (NAMES.index(row["name"]) in unused)
    columns = np.array(expected)
    assert evaluator.result() == pytest.approx(
        {
            "mean_iou": np.nanmean(columns[:, 0]),
            "pixel_accuracy": np.nansum(columns[:, 1] * columns[:, 2]) / columns[:, 2].sum(),
            "mean_accuracy": np.nanmean(columns[:, 1]),
        },
        abs=1e-12,
    )
    assert evaluator.count == len(masks)


@pytest.mark.parametrize("unused", [(), (1,)])
def test_equals_keras(unused):
    masks, logits = scene(3, unused=unused)
    metric = keras.metrics.MeanIoU(len(NAMES), ignore_class=255, sparse_y_pred=False)
    metric.update_state(masks, logits)
    result = measured(masks, logits).result()
    assert result["mean_iou"] == pytest.approx(float(metric.result()), abs=1e-6)


def test_perfect_predictions():
    masks, _ = scene(unused=(3,))
    logits = np.eye(len(NAMES), dtype="float32")[np.where(masks == 255, 3, masks)]
    assert set(measured(masks, logits).result().values()) == {1.0}


def test_a_class_that_is_only_predicted_counts_as_in_mmsegmentation():
    """It pulls the mean IoU down, not the mean accuracy."""
    masks = np.array([[[0, 0, 1, 1]]], "int32")
    logits = np.eye(len(NAMES), dtype="float32")[np.array([[[0, 0, 1, 2]]])]
    assert measured(masks, logits).result() == pytest.approx(
        {"mean_iou": (1 + 0.5 + 0) / 3, "pixel_accuracy": 0.75, "mean_accuracy": 0.75}
    )


def test_counts_stay_exact():
    """Of 2,000 photos of 512x683 pixels, where float32 would stop counting at 48."""
    evaluator = MeanIoUEvaluator(NAMES)
    sums, _ = evaluator.measure(
        {"mask": np.zeros((2, 3, 4), "uint8")}, np.zeros((2, 3, 4, 5), "float32"), np.ones(2)
    )
    assert {value.dtype for value in sums.values()} == {tf.int64}
    pixels = 2000 * 512 * 683
    large = tf.constant(np.diag([pixels - 1, 0, 0, 0, 0]))
    one = tf.constant(np.diag([0, 1, 0, 0, 0]))
    for confusion in (large, one):
        evaluator.update({**sums, "confusion": confusion}, ())
    assert [row["pixels"] for row in evaluator.table()] == [pixels - 1, 1, 0, 0, 0]


def test_table_as_a_file():
    masks, logits = scene(unused=(4,))
    file = io.StringIO()
    writer = csv.DictWriter(file, ("name", "iou", "accuracy", "pixels"))
    writer.writeheader()
    writer.writerows(measured(masks, logits).table())
    assert file.getvalue().splitlines()[-1] == "boat,nan,nan,0"


def test_in_the_engine():
    masks, logits = scene(5)
    evaluator = MeanIoUEvaluator(NAMES)
    step = evaluation_step(tf.distribute.get_strategy(), lambda x, training: x, evaluator)
    batches = [(tf.constant(logits[s]), {"mask": tf.constant(masks[s])}) for s in np.s_[:4, 4:]]
    for _ in range(2):  # again: what was before is forgotten
        assert evaluate(step, evaluator, batches) == measured(masks, logits).result()
        assert evaluator.count == len(masks)


def test_nothing_to_evaluate_on():
    evaluator = MeanIoUEvaluator(NAMES)
    with pytest.raises(ValueError, match="not a single image"):
        evaluator.result()
    masks, logits = scene()
    with pytest.raises(ValueError, match="not a single pixel with a class"):
        measured(np.full_like(masks, 255), logits, evaluator=evaluator).result()


@pytest.mark.parametrize("label", [5, 254, -1])
def test_a_class_that_is_not_known(label):
    masks, logits = scene()
    masks[0, 1, :3] = label
    with pytest.raises(ValueError, match=r"in \[0, 5\), or 255 for none; 3 pixels of a batch"):
        measured(masks, logits)


@pytest.mark.parametrize("count", [0, 256])
def test_bad_names(count):
    with pytest.raises(ValueError, match=f"1 to 255 names. Received: {count}"):
        MeanIoUEvaluator(["x"] * count)


def in_photo_size(truths, canvases, scales):
    """What a `PhotoSizeEvaluator` of two classes makes of masks and canvases of any classes."""
    evaluator = PhotoSizeEvaluator(["a", "b"])
    targets = {
        "original": tf.stack([tf.io.encode_png(mask[..., None]) for mask in truths]),
        "scale": tf.constant(scales, tf.float32),
    }
    outputs = tf.one_hot(np.stack(canvases), 2)
    evaluator.update(*evaluator.measure(targets, outputs, tf.ones(len(truths))))
    return evaluator


def test_perfect_in_photos_of_any_size():
    """A canvas of 8x8 with a photo of 16x4 halved, one of 4x8 as it is."""
    rng = np.random.default_rng(0)
    canvases = [rng.integers(0, 2, (8, 8)).astype("uint8") for _ in range(2)]
    truths = [canvases[0][:, :2].repeat(2, 0).repeat(2, 1), canvases[1][:4].copy()]
    truths[0][0, 0] = 255
    evaluator = in_photo_size(truths, canvases, [[0.5, 0.5], [1, 1]])
    assert evaluator.count == 2 and evaluator.confusion.sum() == 16 * 4 + 4 * 8 - 1
    assert set(evaluator.result().values()) == {1.0}


def test_resized_as_served_masks_are():
    rng = np.random.default_rng(1)
    canvas = rng.integers(0, 2, (8, 8)).astype("uint8")
    for rows, columns, whole in ((13, 29, (4, 8)), (31, 7, (8, 2)), (3, 3, (8, 8))):
        served = tf.image.resize(
            canvas[: whole[0], : whole[1], None], (rows, columns), method="nearest"
        )[..., 0]
        scale = [[whole[0] / rows, whole[1] / columns]]
        confusion = in_photo_size([served.numpy()], [canvas], scale).confusion
        assert np.trace(confusion) == rows * columns


def test_a_class_that_is_not_known_in_a_photo():
    with pytest.raises(ValueError, match=r"\[0, 2\).* 1 pixels"):
        in_photo_size([np.array([[0, 9]], "uint8")], [np.zeros((8, 8), "uint8")], [[1, 1]])
