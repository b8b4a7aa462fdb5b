"""RetinaNets that are measured: ours, its backbone alone, keras_hub's on it, and torchvision's.

All see one image of 672x1120 and 80 classes, with weights as they begin. Inference ends with boxes:
it has the suppression in it. Imports stand inside, since every subject has a process of its own.
"""

import functools
from collections.abc import Callable

SIZE = (672, 1120)
CLASSES = 80
OBJECTS = 7  # of the image of a training step
CONV_PEER, KERAS_PEER = "torchvision resnet50", "keras-hub on our backbone"


def _image(batch):
    import numpy as np

    return np.random.default_rng(0).standard_normal((batch, *SIZE, 3)).astype("float32")


def _objects(batch):
    """Boxes xyxy (B, N, 4) and labels (B, N)."""
    import numpy as np

    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 400, (batch, OBJECTS, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(40, 250, corner.shape)], -1)
    return boxes.astype("float32"), rng.integers(0, CLASSES, (batch, OBJECTS)).astype("int32")


def _backbone(model, size=(None, None)):
    import keras_regionvit

    return keras_regionvit.RegionViTBackbone.from_variant(
        model, input_shape=(*size, 3), pyramid_norm=True
    )


def _ours(model):
    import keras_regionvit

    return keras_regionvit.RetinaNet(_backbone(model), CLASSES)


def _keras_hub(model):
    import keras_hub

    backbone = keras_hub.models.RetinaNetBackbone(
        _backbone(model, SIZE), 3, 7, use_p5=False, image_shape=(*SIZE, 3)
    )
    return keras_hub.models.RetinaNetObjectDetector(
        backbone, CLASSES, bounding_box_format="xyxy", preprocessor=None
    )


def _torchvision():
    import torch

    from benchmarks.subjects import _cores, _declare_torchvision_operators

    torch.set_num_threads(_cores())
    _declare_torchvision_operators()
    from torchvision.models.detection import retinanet_resnet50_fpn

    return retinanet_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=CLASSES,
        score_thresh=1.0,  # it keeps nothing: to its advantage, its suppression is left out
        min_size=SIZE[0],
        max_size=SIZE[1],
    )


def keras_inference(model, batch, size, jit, build=_ours):
    """A traced call of a Keras model."""
    import tensorflow as tf

    net = build(model)
    call = tf.function(lambda x: net(x, training=False), jit_compile=jit, autograph=False)
    images = tf.constant(_image(batch))
    return lambda: tf.nest.map_structure(lambda x: x.numpy(), call(images))


def keras_hub_inference(model, batch, size):
    """The prediction step of keras_hub's detector, which decodes there."""
    import tensorflow as tf

    net = _keras_hub(model)
    call = tf.function(net.predict_step, autograph=False)
    images = tf.constant(_image(batch))
    return lambda: tf.nest.map_structure(lambda x: x.numpy(), call(images))


def torchvision_inference(model, batch, size):
    """The detector of torchvision, eager."""
    import torch

    net, images = _torchvision().eval(), torch.from_numpy(_image(batch)).permute(0, 3, 1, 2)

    def step():
        with torch.inference_mode():
            return net(list(images))

    return step


def keras_training(model, batch, size, jit):
    """One step of `fit` with AdamW."""
    from training.optimizers import AdamW

    net = _ours(model)
    net.compile(AdamW(1e-4, weight_decay=0.05), jit_compile=jit)
    images, (boxes, labels) = _image(batch), _objects(batch)
    return lambda: net.train_on_batch(images, {"boxes": boxes, "labels": labels})


def keras_hub_training(model, batch, size):
    """One step of `fit` of keras_hub's detector, with its losses and Keras' AdamW."""
    import keras
    import tensorflow as tf

    net = _keras_hub(model)
    net.compile(keras.optimizers.AdamW(1e-4, weight_decay=0.05), jit_compile=False)
    boxes, labels = _objects(batch)
    targets = {"boxes": boxes, "labels": labels}  # train_on_batch of keras_hub takes no dict
    data = iter(tf.data.Dataset.from_tensors((_image(batch), targets)).repeat())
    net.make_train_function()
    return lambda: float(net.train_function(data)["loss"])


def torchvision_training(model, batch, size):
    """One step of torchvision's detector with AdamW, eager."""
    import torch

    net = _torchvision().train()
    images = torch.from_numpy(_image(batch)).permute(0, 3, 1, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.05)
    targets = [
        {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels).long()}
        for boxes, labels in zip(*_objects(batch), strict=True)
    ]

    def step():
        optimizer.zero_grad()
        loss = sum(net(list(images), targets).values())
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torchvision_macs():
    """Multiply-adds of torchvision's detector for one image, its products and convolutions."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    net = _torchvision().eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(list(torch.from_numpy(_image(1)).permute(0, 3, 1, 2)))
    return counter.get_total_flops() // 2


def own_macs(model):
    """Multiply-adds of our detector for one image."""
    import keras

    from benchmarks.flops import count_macs

    net = _ours(model)
    return count_macs(keras.Model(net.input, net.raw_outputs), (*SIZE, 3))


INFERENCE: dict[str, Callable] = {
    "keras graph": functools.partial(keras_inference, jit=False),
    "keras XLA": functools.partial(keras_inference, jit=True),
    "keras backbone": functools.partial(keras_inference, jit=False, build=_backbone),
    KERAS_PEER: keras_hub_inference,
    CONV_PEER: torchvision_inference,
}
TRAINING: dict[str, Callable] = {
    "keras graph": functools.partial(keras_training, jit=False),
    KERAS_PEER: keras_hub_training,
    CONV_PEER: torchvision_training,
}
