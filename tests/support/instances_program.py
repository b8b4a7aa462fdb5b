"""Evaluates masks or keypoints over two replicas; `test_instance_replicas.py` compares.

instances_program.py masks
"""

import json
import sys

import tensorflow as tf

from tests.support.instances import CATEGORIES, scene
from training.distribute.replicas import distribute_once
from training.engine.steps import evaluate, evaluation_step
from training.evaluators.coco import CocoEvaluator
from training.evaluators.shapes import KeypointShapes, MaskShapes

COUNT = 13  # images of a scene; of the last batch three places are filled up


def metrics(strategy, kind):
    """The metrics of a scene whose detections pass through a model that changes nothing."""
    targets, outputs = scene(0, 4, images=COUNT)
    shapes = MaskShapes() if kind == "masks" else KeypointShapes("abcd")
    evaluator = CocoEvaluator(CATEGORIES, shapes=shapes)
    step = evaluation_step(strategy, lambda inputs, training: inputs, evaluator)

    def batches(shard):
        rows = tf.data.Dataset.from_tensor_slices((outputs, targets))
        return rows.shard(shard[1], shard[0]).batch(4)

    found = evaluate(step, evaluator, distribute_once(strategy, batches, 4, COUNT))
    return found | {"count": evaluator.count}


def main(kind):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    print(json.dumps([metrics(each, kind) for each in (tf.distribute.get_strategy(), two)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
