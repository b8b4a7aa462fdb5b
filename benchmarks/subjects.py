"""What is measured: each subject builds a model and gives a function that runs it once.

Imports stand inside, since every subject runs in a process of its own.
"""

import functools
from collections.abc import Callable

from benchmarks import detection_subjects

PEER = "torch regionvit"  # birder's port, eager; the one that ratios refer to


def _images(batch, size):
    import numpy as np

    return np.random.default_rng(0).standard_normal((batch, size, size, 3)).astype("float32")


def _torch_images(batch, size):
    import torch

    torch.set_num_threads(_cores())
    return torch.from_numpy(_images(batch, size)).permute(0, 3, 1, 2).contiguous()


def _cores():
    import os

    return len(os.sched_getaffinity(0))


def _keras_model(model, size, **arguments):
    import keras_regionvit

    title = "".join(part.capitalize() for part in model.split("_"))
    function = getattr(keras_regionvit, f"RegionViT{title}")
    return function(
        weights=None, input_shape=(size, size, 3), classifier_activation=None, **arguments
    )


_LIBRARIES: list = []  # what they declare is gone with them


def _declare_torchvision_operators():
    """Missing beside a CPU build of torch: imports ask for them, nothing calls them."""
    import torch

    try:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)
    except RuntimeError:
        pass  # they are there


def _torch_regionvit():
    _declare_torchvision_operators()
    from birder.model_registry import registry

    net = registry.net_factory("regionvit_s", 1000, size=(224, 224), config={"window_size": 7})
    parameters = sum(weight.numel() for weight in net.parameters())
    if parameters != 30_586_618:
        raise ValueError(f"the peer has {parameters:,} parameters, not RegionViT-S's 30,586,618")
    return net


def keras_inference(model, batch, size, jit):
    """A traced call of the Keras model."""
    import tensorflow as tf

    net = _keras_model(model, size)
    call = tf.function(lambda x: net(x, training=False), jit_compile=jit, autograph=False)
    images = tf.constant(_images(batch, size))
    return lambda: call(images).numpy()


def openvino_inference(model, batch, size, precision):
    """The exported SavedModel in OpenVINO, which would choose bfloat16 itself where it can."""
    import tempfile

    import openvino

    from keras_regionvit.export.saved_model import export_saved_model

    with tempfile.TemporaryDirectory() as folder:
        export_saved_model(_keras_model(model, size), f"{folder}/1")
        core = openvino.Core()
        net = core.read_model(f"{folder}/1")
        net.reshape([batch, size, size, 3])
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        compiled = core.compile_model(net, "CPU", hints)
    images = _images(batch, size)
    return lambda: compiled(images)[0]


def torch_inference(model, batch, size):
    """The PyTorch RegionViT, eager."""
    import torch

    net, images = _torch_regionvit().eval(), _torch_images(batch, size)

    def step():
        with torch.inference_mode():
            return net(images)

    return step


def swin_torch_inference(model, batch, size):
    """Swin-T of transformers, eager."""
    import torch

    _declare_torchvision_operators()
    from transformers import SwinConfig, SwinForImageClassification

    config = SwinConfig(image_size=size, num_labels=1000, depths=[2, 2, 6, 2])
    net, images = SwinForImageClassification(config).eval(), _torch_images(batch, size)

    def step():
        with torch.inference_mode():
            return net(images).logits

    return step


def swin_keras_inference(model, batch, size):
    """Swin-T of keras-hub, a traced call."""
    import keras_hub
    import tensorflow as tf

    net = keras_hub.models.SwinTransformerImageClassifier(
        keras_hub.models.SwinTransformerBackbone(
            image_shape=(size, size, 3),
            embed_dim=96,
            depths=(2, 2, 6, 2),
            num_heads=(3, 6, 12, 24),
            window_size=7,
        ),
        num_classes=1000,
        preprocessor=None,
    )
    call = tf.function(lambda x: net(x, training=False), autograph=False)
    images = tf.constant(_images(batch, size))
    return lambda: call(images).numpy()


def ceiling(model, batch, size):
    """Matrix products alone: as many multiply-adds as the model has, in its commonest shape."""
    import tensorflow as tf

    from benchmarks.flops import count_macs

    macs = count_macs(_keras_model(model, size)) * batch
    rows, inner, columns = batch * 200, 384, 1536  # the first Dense of a stage-3 encoder of S
    a, b = tf.random.normal((rows, inner)), tf.random.normal((inner, columns))
    product = tf.function(lambda a, b: tf.matmul(a, b))
    repeats = round(macs / (rows * inner * columns))

    def step():
        for _ in range(repeats):
            result = product(a, b)
        return result.numpy()

    return step


def keras_training(model, batch, size, jit, optimizer="ours", **arguments):
    """One step of `fit` with AdamW: that of `training.optimizers`, or Keras' own."""
    import keras
    import numpy as np

    import keras_regionvit
    from training.optimizers import AdamW

    backbone = keras_regionvit.RegionViTBackbone.from_variant(
        model, input_shape=(size, size, 3), drop_path_rate=0.1, **arguments
    )
    net = keras_regionvit.build_classifier(backbone, classifier_activation=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kind = AdamW if optimizer == "ours" else keras.optimizers.AdamW
    net.compile(kind(1e-3, weight_decay=0.05), loss, jit_compile=jit)
    images, labels = _images(batch, size), np.arange(batch)
    return lambda: net.train_on_batch(images, labels)


def torch_training(model, batch, size):
    """One step of the PyTorch RegionViT with AdamW, eager."""
    import torch

    net, images = _torch_regionvit().train(), _torch_images(batch, size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.05)
    labels, loss = torch.arange(batch), torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        value = loss(net(images), labels)
        value.backward()
        optimizer.step()
        return value.item()

    return step


INFERENCE: dict[str, Callable] = {
    "keras graph": functools.partial(keras_inference, jit=False),
    "keras XLA": functools.partial(keras_inference, jit=True),
    "keras graph, plus": lambda model, batch, size: keras_inference(
        f"{model}_plus", batch, size, jit=False
    ),
    "openvino": functools.partial(openvino_inference, precision="f32"),
    "openvino bfloat16": functools.partial(openvino_inference, precision="bf16"),
    PEER: torch_inference,
    "torch swin-t": swin_torch_inference,
    "keras-hub swin-t": swin_keras_inference,
    "matrix products": ceiling,
}
TRAINING: dict[str, Callable] = {
    "keras default": functools.partial(keras_training, jit="auto"),  # graph mode on a CPU
    "keras XLA": functools.partial(keras_training, jit=True),
    "keras with Keras' AdamW": functools.partial(keras_training, jit="auto", optimizer="keras"),
    "keras recomputed": functools.partial(keras_training, jit="auto", gradient_checkpointing=True),
    PEER: torch_training,
}
TASKS: dict[str, dict[str, Callable]] = {
    "inference": INFERENCE,
    "training": TRAINING,
    "detection": detection_subjects.INFERENCE,
    "detection training": detection_subjects.TRAINING,
}
