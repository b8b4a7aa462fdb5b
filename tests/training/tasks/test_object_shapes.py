"""Masks and keypoints in the task of detection: what is prepared, learnt from and judged."""

import numpy as np
import pytest
import tensorflow as tf

from training.recipes import catalogue
from training.tasks import open_task


@pytest.fixture(scope="module", params=["mask_rcnn", "keypoint_rcnn"])
def opened(request):
    """`(kind, task, source, one example)`."""
    task = open_task(catalogue.smoke(f"quickstart_{request.param}"))
    source = task.open_split("train")
    example = source.example_of(next(iter(source.records(None))))
    return request.param, task, source, example


def test_the_objects_of_training_belong_to_the_inputs(opened):
    kind, task, source, example = opened
    prepare = task.preparation(source.info, training=True)
    seed = tf.constant([1, 2])
    inputs, targets = prepare(example, seed)
    assert set(inputs) == {"image", "boxes", "labels", "seed"}
    for name in ("boxes", "labels"):
        np.testing.assert_array_equal(inputs[name], targets[name])
    np.testing.assert_array_equal(inputs["seed"], prepare(example, seed)[0]["seed"])
    assert inputs["seed"] != prepare(example, seed + 1)[0]["seed"]
    specs = task.training_specs(source.info)
    for found, spec in zip(tf.nest.flatten((inputs, targets)), tf.nest.flatten(specs), strict=True):
        assert spec.is_compatible_with(found)
    assert ("masks" if kind == "mask_rcnn" else "keypoints") in targets


def test_an_evaluation_takes_images_alone(opened):
    _, task, source, example = opened
    found = task.preparation(source.info, training=False)(example, None)
    assert found[0].shape == (64, 64, 3)
    specs = task.specs(source.info)
    for value, spec in zip(tf.nest.flatten(found), tf.nest.flatten(specs), strict=True):
        assert spec.is_compatible_with(value)


def test_a_mirrored_image_has_mirrored_shapes(opened):
    kind, task, source, example = opened
    prepare = task.preparation(source.info, training=True)
    seeds = [tf.constant([3, i]) for i in range(20)]
    found = [prepare(example, seed)[1] for seed in seeds]
    count = int(tf.reduce_sum(tf.cast(found[0]["labels"] >= 0, tf.int32)))
    assert count > 0
    first = found[0]["boxes"][:count].numpy()
    turned = next(x for x in found if np.abs(x["boxes"][:count] - first).max() > 1)
    np.testing.assert_allclose(turned["boxes"][:count, 0], 64 - first[:, 2], atol=1e-3)
    if kind == "mask_rcnn":
        here, there = (x["masks"][:count].numpy() for x in (found[0], turned))
        np.testing.assert_allclose(here[..., ::-1], there, atol=2)
    else:
        here, there = (x["keypoints"][:count].numpy() for x in (found[0], turned))
        shown = (here[..., 2] > 0) & (there[:, [1, 0, 3, 2], 2] > 0)
        swapped = there[:, [1, 0, 3, 2]]  # upper left and upper right change places
        np.testing.assert_allclose(64 - here[shown][:, 0], swapped[shown][:, 0], atol=1e-3)
        np.testing.assert_allclose(here[shown][:, 1], swapped[shown][:, 1], atol=1e-3)


def test_perfect_shapes_have_an_ap_of_one(opened):
    kind, task, source, example = opened
    _, targets = task.preparation(source.info, training=False)(example, None)
    targets = {name: value[None] for name, value in targets.items()}
    real = targets["labels"] >= 0
    outputs = {
        "boxes": targets["boxes"],
        "scores": tf.cast(real, tf.float32) * 0.9,
        "classes": targets["labels"],
        "count": tf.reduce_sum(tf.cast(real, tf.int32), axis=1),
    }
    if kind == "mask_rcnn":
        masks = tf.cast(example["masks"], tf.float32) / 255
        outputs["box_masks"] = tf.pad(masks, [(0, 8 - len(masks)), (0, 0), (0, 0)])[None]
    else:
        points = targets["original_keypoints"]
        scale = targets["scale"][:, None, None]
        outputs["keypoints"] = tf.concat([points[..., :2] / scale, points[..., 2:]], axis=-1)
    evaluator = task.evaluator(source.info)
    evaluator.update(*evaluator.measure(targets, outputs, tf.ones(1)))
    metrics = evaluator.result()
    assert metrics["AP"] == pytest.approx(1.0)
    # a grid of 28 places is coarser than the pixels of the larger garments
    assert metrics[evaluator.monitor] > (0.8 if kind == "mask_rcnn" else 0.999)
    assert metrics[evaluator.monitor.replace("AP", "AP50")] == pytest.approx(1.0)
    assert evaluator.monitor.replace("_", " ") in task.shown(metrics)


def test_the_losses_are_sums_over_images(opened):
    _, task, source, example = opened
    prepare = task.preparation(source.info, training=True)
    rows = [prepare(example, tf.constant([0, i])) for i in range(2)]
    model = task.build_model(source.info)

    def of(rows):
        inputs, targets = tf.nest.map_structure(lambda *x: tf.stack(x), *rows)
        sums, count = task.loss(targets, model(inputs, training=True))
        assert count == len(rows)
        return {name: float(value) for name, value in sums.items()}

    both, alone = of(rows), [of([row]) for row in rows]
    for name, value in both.items():
        assert value == pytest.approx(sum(each[name] for each in alone), rel=1e-3), name
    assert len(both) == 5 and all(value > 0 for value in both.values())


def test_keypoints_of_several_classes_are_refused(monkeypatch):
    task = open_task(catalogue.smoke("quickstart_keypoint_rcnn"))
    from training.data.sources import composed_shapes

    monkeypatch.setattr(composed_shapes.Shapes, "class_names", ("shirt", "shoe"), raising=False)
    with pytest.raises(ValueError, match="finds one class of objects, and composed train has 2"):
        task.open_split("train")
