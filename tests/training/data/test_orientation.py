"""Batches of one orientation: whole, in a drawn order, the same when taken up again."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.support import mixed_photos
from training.data.inputs import eval_batches, open_inputs, train_batches
from training.data.orientation import parts_of, whole_batches
from training.data.sources.source import array_source
from training.recipes import catalogue
from training.tasks import open_task


def open_folder(folder):
    """A task on a canvas of two sides, and 13 photos to learn from, 7 held out."""
    data = mixed_photos.put_coco(folder / "coco")
    changes = {"detection.canvas": (32, 64), "data.batch_size": 4, "data.source": "coco"}
    task = open_task(catalogue.smoke("detection_folder").with_values(changes))
    return task, open_inputs(task, data)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return open_folder(tmp_path_factory.mktemp("data"))


def plain(batches):
    return [tf.nest.map_structure(np.asarray, batch) for batch in batches]


def equal(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, batch, other)


def test_a_batch_has_one_orientation(opened):
    task, inputs = opened
    upright = inputs.source.sizes[:, 0] > inputs.source.sizes[:, 1]
    batches = plain(train_batches(task, inputs, seed=1))
    assert inputs.steps_per_epoch == 3 and len(batches) == 6  # 8 lie, 5 stand: 2 + 1 batches
    for epoch in (batches[:3], batches[3:]):
        shapes = [images.shape for images, _ in epoch]
        assert shapes.count((4, 32, 64, 3)) == 2 and shapes.count((4, 64, 32, 3)) == 1
        for images, targets in epoch:
            assert (upright[targets["index"]] == (images.shape[1] > images.shape[2])).all()
        lying = [t["index"] for i, t in epoch if i.shape[1] == 32]
        assert len(set(np.concatenate(lying))) == 8
    first, second = (np.concatenate([t["index"] for _, t in e]) for e in (batches[:3], batches[3:]))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("step", range(1, 7))
def test_a_training_is_taken_up_at_any_step(opened, step):
    task, inputs = opened
    equal(
        plain(train_batches(task, inputs, seed=1))[step:],
        plain(train_batches(task, inputs, seed=1, start_step=step)),
    )


def test_a_training_of_so_many_steps(opened):
    """Parts of equal length, however many batches the images make."""
    task, inputs = opened
    steps = task.recipe.with_values({"schedule.epochs": 2, "schedule.steps": 10})
    longer = dataclasses.replace(inputs, steps_per_epoch=5)
    batches = list(train_batches(open_task(steps), longer, seed=1).take(10))
    assert len(batches) == 10


def test_evaluation_sees_each_image_once(opened):
    task, inputs = opened
    batches = plain(eval_batches(task, inputs.held_out, batch_size=2))
    found = np.concatenate([targets["index"] for _, targets in batches])
    assert sorted(found) == list(range(7))
    assert {images.shape[1:] for images, _ in batches} == {(32, 64, 3), (64, 32, 3)}


REPLICAS = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.training.data.test_orientation import open_folder, plain
from training.data.inputs import evaluation_dataset, train_batches, training_dataset

task, inputs = open_folder(Path(sys.argv[1]))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
alone = plain(train_batches(task, inputs, seed=1))
for (images, _), (parts, _) in zip(alone, training_dataset(strategy, task, inputs, seed=1)):
    values = [np.asarray(part) for part in strategy.experimental_local_results(parts)]
    assert [value.shape[0] for value in values] == [2, 2]
    np.testing.assert_array_equal(np.concatenate(values), images)
validation, seen = evaluation_dataset(strategy, task, inputs.held_out), []
for _ in range(2):
    for _, targets, weights in validation:
        rows = map(strategy.experimental_local_results, (targets["index"], weights))
        for index, weight in zip(*rows):
            seen.extend(np.asarray(index)[np.asarray(weight) > 0].tolist())
assert sorted(seen) == sorted(2 * list(range(7))), seen
print("done")
"""


def test_two_replicas_share_a_batch(tmp_path):
    """Both have the shape of the batch; together they have its images."""
    command = [sys.executable, "-c", REPLICAS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.endswith("done\n"), done.stderr[-2000:]


def test_few_images_fill_a_batch_with_other_draws():
    images = np.arange(5 * 4, dtype="uint8").reshape(5, 2, 2, 1)
    source = array_source("five", ["a"], images, [0] * 5)
    sizes = np.array([(2, 1), (1, 2), (2, 2), (3, 1), (9, 1)], "int32")
    parts = dict(parts_of(dataclasses.replace(source, sizes=sizes)))
    assert [part.count for part in parts.values()] == [2, 3]
    whole = whole_batches(parts[True], 8)
    records = list(whole.records(tf.constant([0, 1])))
    assert whole.count == len(records) == len({int(record) for record in records}) == 8
    shown = sorted(int(whole.example_of(record)["image"][0, 0, 0]) for record in records)
    assert set(shown) == {0, 12, 16} and min(map(shown.count, shown)) >= 2
    assert whole.key_of(records[7])["name"].numpy().decode().startswith("five, image ")
    assert whole_batches(parts[True], 2).count == 4 and whole_batches(parts[True], 3).count == 3


def test_sizes_must_be_known():
    source = array_source("noise", ["a"], np.zeros((3, 2, 2, 1), "uint8"), [0] * 3)
    with pytest.raises(ValueError, match="noise does not say the sizes"):
        parts_of(source)
