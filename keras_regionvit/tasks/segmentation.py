"""Semantic FPN on any backbone with a pyramid (paper, section 4.2 and appendix A.3).

B images, H W their pixels, h w a map's size, K classes.
"""

import keras
from keras import ops

from keras_regionvit.backbone import IMAGE
from keras_regionvit.checks.kinds import flag, positive_integer, rate
from keras_regionvit.tasks.configuration import config_of, model_of
from keras_regionvit.tasks.fpn import WIDTH, feature_pyramid, pyramid_of
from keras_regionvit.tasks.inputs import PixelNormalization

FIRST = 2
HEAD_WIDTH = 128
# The names of the layers, which loading knows them by.
NORMALIZATION = "pixel_normalization"
CONV, NORM, LOGITS = "head{}_conv{}", "head{}_norm{}", "logits"


@keras.saving.register_keras_serializable(package="keras_regionvit")
class SemanticFPN(keras.Model):
    """A segmenter: images to a class for each pixel.

    It trains with `fit` on `(images, int labels (B, H, W))`. Where labels of 255 are of no class,
    the loss is `keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)`.

    Args:
        backbone: a functional `keras.Model` with `pyramid_outputs` of levels 2 to 5, such as a
            `RegionViTBackbone`.
        num_classes: int K.
        include_preprocessing: bool, whether the model itself normalises images of 0..255;
            otherwise it takes them as its backbone does.
        dropout_rate: float in [0, 1), of whole channels before the last convolution.
        width: int, channels of the pyramid.
        head_width: int, channels of the head.
        name: optional str, name of the model.

    Input: images (B, H, W, channels), float, of any size. Output: logits float32 (B, H, W, K).

    Raises:
        ValueError: an argument is out of range, or the backbone has no such pyramid.

    Example:

    >>> backbone = keras_regionvit.RegionViTBackbone.from_variant("small")
    >>> segmenter = keras_regionvit.SemanticFPN(backbone, num_classes=150)
    >>> keras.ops.argmax(segmenter(images), axis=-1)  # (B, H, W)

    Source: paper, Table A3; the head is mmsegmentation's FPN head.
    """

    def __init__(
        self,
        backbone,
        num_classes=150,
        *,
        include_preprocessing=False,
        dropout_rate=0.1,
        width=WIDTH,
        head_width=HEAD_WIDTH,
        name="semantic_fpn",
    ):
        settings = {
            "num_classes": positive_integer("num_classes", num_classes),
            "include_preprocessing": flag("include_preprocessing", include_preprocessing),
            "dropout_rate": rate("dropout_rate", dropout_rate),
            "width": positive_integer("width", width),
            "head_width": positive_integer("head_width", head_width),
        }
        policy = getattr(backbone, "policy", None) or backbone.dtype_policy
        pyramid = pyramid_of(backbone, FIRST)
        image = keras.Input(pyramid.input.shape[1:], name=IMAGE)
        x = image
        if include_preprocessing:
            x = PixelNormalization(x.shape[-1], name=NORMALIZATION)(x)
        levels = feature_pyramid(pyramid(x), width, policy)
        x = _fused(levels, head_width, policy)
        if dropout_rate:
            x = keras.layers.SpatialDropout2D(dropout_rate, dtype=policy, name="dropout")(x)
        normal = keras.initializers.RandomNormal(stddev=0.01)
        x = keras.layers.Conv2D(
            settings["num_classes"], 1, kernel_initializer=normal, dtype="float32", name=LOGITS
        )(x)
        x = ResizeAs(dtype="float32", name="segmentation")([x, image])
        super().__init__(image, x, name=name)
        self.backbone, self._settings = backbone, tuple(settings.items())

    @property
    def num_classes(self):
        """How many classes there are."""
        return dict(self._settings)["num_classes"]

    def get_config(self):
        """The arguments of the constructor."""
        return config_of(self, self._settings)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The segmenter that `get_config` described."""
        return model_of(cls, config, custom_objects)


def _fused(levels, width, policy):
    """The sum of all levels at the size of the finest, a Keras tensor (B, h, w, width).

    A level is convolved once for each halving that separates it from the finest one, at least once,
    and doubled after each.
    """
    finest = min(levels)
    total = None
    for level, x in levels.items():
        for i in range(max(level - finest, 1)):
            x = keras.layers.Conv2D(
                width,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                dtype=policy,
                name=CONV.format(level, i),
            )(x)
            x = keras.layers.BatchNormalization(
                momentum=0.9,
                epsilon=1e-5,
                synchronized=keras.backend.backend() == "tensorflow",
                dtype=policy,
                name=NORM.format(level, i),
            )(x)
            x = keras.layers.ReLU(dtype=policy, name=f"head{level}_relu{i}")(x)
            if level > finest:
                x = Doubled(dtype=policy, name=f"head{level}_up{i}")(x)
        if total is None:
            total = x
        else:
            x = ResizeAs(dtype=policy, name=f"head{level}_resize")([x, total])
            total = keras.layers.Add(dtype=policy, name=f"head_sum{level}")([total, x])
    return total


@keras.saving.register_keras_serializable(package="keras_regionvit")
class Doubled(keras.layers.Layer):
    """A map of twice the height and width, bilinear, corners not aligned.

    `keras.layers.UpSampling2D` of Keras 3.15 does the same, but not where the size is open.

    Input shape: (B, h, w, C). Output shape: (B, 2 * h, 2 * w, C).

    Example:

    >>> Doubled()(keras.ops.ones((1, 3, 4, 8))).shape
    TensorShape([1, 6, 8, 8])
    """

    def call(self, inputs):
        """The larger map."""
        _, height, width, _ = ops.shape(inputs)
        return _bilinear(inputs, 2 * height, 2 * width)

    def compute_output_shape(self, input_shape):
        """Twice the height and width, where they are known."""
        batch, *sizes, channels = input_shape
        return (batch, *(size and 2 * size for size in sizes), channels)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class ResizeAs(keras.layers.Layer):
    """A map resized to the height and width of another, bilinear, corners not aligned.

    Input shape: [(B, h, w, C), (B, H, W, ...)]. Output shape: (B, H, W, C).

    Example:

    >>> ResizeAs()([keras.ops.ones((1, 3, 3, 8)), keras.ops.ones((1, 5, 6, 2))]).shape
    TensorShape([1, 5, 6, 8])
    """

    def call(self, inputs):
        """The resized map."""
        maps, other = inputs
        return _bilinear(maps, *ops.shape(other)[1:3])

    def compute_output_shape(self, input_shape):
        """The sizes of the one, the channels of the other."""
        maps, other = input_shape
        return (maps[0], *other[1:3], maps[3])


def _bilinear(maps, height, width):
    """Maps (B, h, w, C) resized to (B, height, width, C)."""
    if maps.shape[1:3] == (height, width):
        return maps
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # `ops.image.resize` of Keras 3.15 refuses sizes that are tensors

        return ops.cast(tf.image.resize(maps, (height, width)), maps.dtype)
    return ops.image.resize(maps, (height, width), interpolation="bilinear")
