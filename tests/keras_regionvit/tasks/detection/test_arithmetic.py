"""Anchors, boxes, matching, losses and suppression against slow arithmetic and other libraries."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.tasks.detection import boxes as box_ops
from keras_regionvit.tasks.detection.anchors import (
    RATIOS,
    cell_anchors,
    level_anchors,
    retinanet_sizes,
)
from keras_regionvit.tasks.detection.losses import focal_loss, l1_loss
from keras_regionvit.tasks.detection.matching import match
from keras_regionvit.tasks.detection.nms import class_wise_nms
from tests.oracles import numpy_detection as slow


def random_boxes(rng, count, side=100.0, most=60.0):
    corner = rng.uniform(0, side, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, most, (count, 2))], -1).astype("float32")


@pytest.mark.parametrize(("height", "width", "level"), [(1, 1, 7), (3, 5, 3), (4, 2, 5)])
def test_anchors(height, width, level):
    found = level_anchors(height, width, 2**level, retinanet_sizes(level))
    expected = slow.anchors(height, width, 2**level, retinanet_sizes(level), RATIOS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_anchors_have_their_sizes():
    width, height = (cell_anchors([32.0])[:, i + 2] - cell_anchors([32.0])[:, i] for i in (0, 1))
    np.testing.assert_allclose(width * height, 32**2, rtol=1e-6)
    np.testing.assert_allclose(height / width, RATIOS, rtol=1e-6)
    assert retinanet_sizes(7)[0] == 512


def test_deltas_are_those_of_keras():
    rng = np.random.default_rng(0)
    boxes, anchors = random_boxes(rng, 50), random_boxes(rng, 50)
    found = box_ops.encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0))
    expected = keras.utils.bounding_boxes.encode_box_to_deltas(
        anchors, boxes, "xyxy", "xyxy", variance=[0.1, 0.1, 0.2, 0.2]
    )
    swapped = np.asarray(expected)[:, [1, 0, 3, 2]]  # Keras has rows before columns
    np.testing.assert_allclose(found, swapped, rtol=1e-4, atol=1e-4)
    back = box_ops.decode(found, anchors, weights=(10.0, 10.0, 5.0, 5.0))
    np.testing.assert_allclose(back, boxes, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("value", [1e38, -1e38, 3e4])
def test_decoding_is_finite(value):
    anchors = cell_anchors([32.0, 512.0])
    deltas = tf.cast(tf.fill(anchors.shape, tf.cast(value, tf.bfloat16)), tf.float32)
    boxes = box_ops.clip(box_ops.decode(deltas, anchors), 480, 640)
    assert np.isfinite(boxes).all()
    assert (np.asarray(boxes)[:, 2:] <= (640, 480)).all()


def test_boxes_without_area_encode_to_finite_deltas():
    found = box_ops.encode(np.zeros((1, 4), "float32"), cell_anchors([32.0]))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("padding", [0, 5])
def test_matching(count, padding):
    rng = np.random.default_rng(count)
    boxes = random_boxes(rng, count, most=90)
    anchors = slow.anchors(7, 9, 16, (24.0, 48.0), RATIOS).astype("float32")
    padded = np.concatenate([boxes, random_boxes(rng, padding)])
    real = np.arange(count + padding) < count
    found = np.asarray(match(padded, real, anchors, 0.4, 0.5))
    expected = slow.match(boxes.astype("float64"), anchors.astype("float64"), 0.4, 0.5)
    np.testing.assert_array_equal(found, expected)
    if count:
        assert set(range(count)) & set(found.tolist())


def test_the_best_anchor_of_a_small_object_is_no_background():
    anchors = np.array([[0, 0, 100, 100], [200, 0, 300, 100]], "float32")
    boxes = np.array([[10, 10, 20, 20]], "float32")
    assert match(boxes, [True], anchors, 0.4, 0.5).numpy().tolist() == [0, -1]
    assert match(boxes, [True], anchors, 0.4, 0.5, low_quality=False).numpy().tolist() == [-1, -1]


def test_an_object_that_meets_no_anchor_takes_none():
    anchors = np.array([[0, 0, 10, 10]], "float32")
    boxes = np.array([[50, 50, 60, 60]], "float32")
    assert match(boxes, [True], anchors, 0.4, 0.5).numpy().tolist() == [-1]


def test_focal_loss():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, (20, 3)).astype("float32")
    targets = (rng.random((20, 3)) < 0.3).astype("float32")
    expected = np.vectorize(slow.focal)(logits.astype("float64"), targets)
    np.testing.assert_allclose(focal_loss(targets, logits), expected, rtol=1e-5, atol=1e-7)


def test_focal_loss_of_extreme_logits_has_finite_gradients():
    logits = tf.constant([-1e4, 1e4, -1e4, 1e4])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(focal_loss(tf.constant([0.0, 0.0, 1.0, 1.0]), logits))
    gradient = tape.gradient(loss, logits).numpy()
    assert np.isfinite(loss) and np.isfinite(gradient).all()
    assert gradient[1] > 0 > gradient[2]


def test_l1_loss():
    targets, values = np.zeros(3, "float32"), np.array([-2.0, 0.05, 0.5], "float32")
    np.testing.assert_allclose(l1_loss(targets, values), [2.0, 0.05, 0.5])
    np.testing.assert_allclose(l1_loss(targets, values, 0.1), [1.95, 0.0125, 0.45], rtol=1e-6)


@pytest.mark.parametrize("count", [1, 40, 300])
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "XLA"])
def test_suppression(count, traced):
    rng = np.random.default_rng(count)
    boxes = np.stack([random_boxes(rng, count) for _ in range(2)])
    scores = rng.random((2, count)).astype("float32")
    classes = rng.integers(0, 3, (2, count)).astype("int32")
    compiled = tf.function(class_wise_nms, autograph=False, jit_compile=True)
    found = (compiled if traced else class_wise_nms)(
        tf.constant(boxes),
        tf.constant(scores),
        tf.constant(classes),
        iou_threshold=0.5,
        score_threshold=0.3,
        max_detections=60,
    )
    for i in range(2):
        kept = slow.nms(boxes[i], scores[i], classes[i], 0.5, 0.3, 60)
        stays = found["count"].numpy()[i]
        assert stays == len(kept)
        np.testing.assert_array_equal(found["boxes"][i, :stays], boxes[i][kept])
        np.testing.assert_array_equal(found["scores"][i, :stays], scores[i][kept])
        np.testing.assert_array_equal(found["classes"][i, :stays], classes[i][kept])
        assert not np.any(found["boxes"][i, stays:])
        assert np.all(found["classes"][i, stays:] == -1)


def test_suppression_is_that_of_tensorflow_class_by_class():
    rng = np.random.default_rng(5)
    boxes = random_boxes(rng, 200)
    scores = rng.random(200).astype("float32")
    classes = rng.integers(0, 4, 200).astype("int32")
    found = class_wise_nms(
        boxes[None],
        scores[None],
        classes[None],
        iou_threshold=0.4,
        score_threshold=0.0,
        max_detections=200,
    )
    expected = []
    for k in range(4):
        mine = np.flatnonzero(classes == k)
        expected += mine[tf.image.non_max_suppression(boxes[mine], scores[mine], 200, 0.4)].tolist()
    expected = sorted(expected, key=lambda i: -scores[i])
    count = int(found["count"][0])
    np.testing.assert_array_equal(found["scores"][0, :count], scores[expected])
    np.testing.assert_array_equal(found["boxes"][0, :count], boxes[expected])


def test_two_classes_may_have_one_box():
    boxes = np.tile(np.array([10, 10, 50, 60], "float32"), (1, 3, 1))
    found = class_wise_nms(
        boxes,
        np.array([[0.9, 0.8, 0.7]], "float32"),
        np.array([[0, 1, 0]], "int32"),
        iou_threshold=0.5,
        score_threshold=0.05,
        max_detections=3,
    )
    assert found["count"].numpy().tolist() == [2]
    assert found["classes"].numpy().tolist() == [[0, 1, -1]]
