"""Small two-stage detectors that find something: boxes, masks and keypoints all differ."""

import keras
import numpy as np

from keras_regionvit import KeypointRCNN, MaskRCNN
from tests.support.pyramids import conv_backbone

SLIM = {"width": 16, "head_width": 16, "proposals": 30, "max_detections": 12}
KINDS = ["masks", "keypoints"]


def region_detector(kind, score_threshold=0.3, **arguments):
    """A detector of three classes with masks, or of one with five keypoints.

    Untrained it would score all regions alike, and any order of them would do. In an image of
    zeros it finds nothing.
    """
    keras.utils.set_random_seed(0)
    arguments = {**SLIM, "score_threshold": score_threshold, **arguments}
    if kind == "masks":
        model, last = MaskRCNN(conv_backbone(), 3, **arguments), "mask_logits"
    else:
        model = KeypointRCNN(conv_backbone(), 5, keypoint_width=8, **arguments)
        last = "keypoint_deconv"
    image = noise(1, 64, 96)
    if arguments.get("include_preprocessing"):
        image = 120 + 60 * image
    raw = keras.Model(model.input, model.raw_outputs)

    def pooled(name):
        return keras.Model(model.input, model.get_layer(name).output)(image)

    for key, deviation in (("objectness", 1.5), ("deltas", 0.3)):
        _spread(model.get_layer(f"rpn_{key}"), lambda key=key: raw(image)[f"p2_{key}"], deviation)
    boxes, shapes = model.box_head, model.mask_head if kind == "masks" else model.keypoint_head
    cells = pooled("box_pooler")
    # without a region's own features the background, the last class, is what is left
    signs = [1.0] * model.num_classes + [-1.0]
    _spread(boxes.get_layer("region_scores"), lambda: boxes(cells)[0], 2.0, signs)
    _spread(boxes.get_layer("region_deltas"), lambda: boxes(cells)[1], 1.0)
    cells = pooled("shape_pooler")
    _spread(shapes.get_layer(last), lambda: shapes(cells), 2.0, 1.0)
    return model


def noise(count, rows, columns):
    """Images, the second of them zeros."""
    images = np.random.default_rng(rows).normal(size=(count, rows, columns, 3)).astype("float32")
    images[1:2] = 0
    return images


def _spread(layer, output, deviation, signs=None):
    """Draws weights with which what a layer makes has that deviation.

    With `signs` of its channels each has a mean of 0, from a bias of the opposite sign.
    """
    layer.kernel.assign(keras.random.normal(layer.kernel.shape))
    made = np.asarray(output())
    scale = np.full(made.shape[-1], deviation / np.std(made))
    if signs is not None:
        mean = np.mean(made, axis=tuple(range(made.ndim - 1)))
        scale *= np.sign(mean) * signs
        layer.bias.assign(-mean * scale)
    # a transposed convolution has its channels before the last axis
    channels = [-1, 1] if isinstance(layer, keras.layers.Conv2DTranspose) else [-1]
    layer.kernel.assign(layer.kernel * scale.reshape(channels))
