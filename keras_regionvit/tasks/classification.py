"""The classification head: norm, mean over the regional tokens, Dense (paper, Figure 2).

A backbone without regional tokens is classified by its local ones.
"""

import keras

from keras_regionvit.backbone import IMAGE, RegionViTBackbone
from keras_regionvit.checks.kinds import positive_integer
from keras_regionvit.checks.models import (
    check_activation,
    check_channels,
    check_keras_tensor,
    check_name,
)

# The names of the layers on the backbone, in their order; loading and serving know them by these.
NORM = "norm"
POOL = "avg_pool"
HEAD = "predictions"


def build_classifier(
    backbone, classes=1000, classifier_activation="softmax", inputs=None, name=None
):
    """A classifier on the regional tokens of a backbone, or the local ones if it has no others.

    Args:
        backbone: a `RegionViTBackbone`.
        classes: int, width of the last layer.
        classifier_activation: its activation, a name or function; `None` for logits.
        inputs: optional Keras tensor (B, H, W, channels) that the backbone is called on.
        name: optional str, name of the model.

    Raises:
        ValueError: an argument is not one of the above, or `inputs` has other channels than
            `backbone` takes.

    Returns:
        A functional `Classifier`: images (B, H, W, channels), float, to (B, classes), float32.

    Example:

    >>> backbone = RegionViTBackbone((64, 128), (2, 2), patch_size=2, input_shape=(28, 28, 1))
    >>> model = build_classifier(backbone, classes=10)
    """
    if not isinstance(backbone, RegionViTBackbone):
        raise ValueError(
            f"`backbone` must be a `RegionViTBackbone`. Received: {type(backbone).__name__}"
        )
    classes = positive_integer("classes", classes)
    check_activation(classifier_activation)
    check_name(name)
    if inputs is not None:
        check_keras_tensor("inputs", inputs)
    else:
        inputs = keras.Input(backbone.input.shape[1:], name=IMAGE)
    x = normed_tokens(backbone, inputs)
    # Head and softmax stay float32 under mixed precision.
    x = keras.layers.GlobalAveragePooling2D(name=POOL, dtype="float32")(x)
    outputs = keras.layers.Dense(
        classes,
        activation=classifier_activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        dtype="float32",
        name=HEAD,
    )(x)
    return model_of(inputs, outputs, name)


def normed_tokens(backbone, inputs):
    """The tokens that are classified, under the final norm.

    Args:
        backbone: a `RegionViTBackbone`.
        inputs: Keras tensor (B, H, W, channels).

    Returns:
        A Keras tensor, the regional tokens (B, Hr, Wr, C), or the local ones if there are no
        others.
    """
    epsilon = 1e-5 if backbone.attention == "shifted_window" else 1e-6  # as Swin has it
    norm = keras.layers.LayerNormalization(epsilon=epsilon, dtype=backbone.policy, name=NORM)
    maps = backbone(inputs)
    return norm(maps["regional_tokens" if backbone.regional_tokens else "local_tokens"])


def model_of(inputs, outputs, name):
    """The model from what `inputs` was made of to `outputs`.

    Args:
        inputs: Keras tensor that the backbone was called on.
        outputs: Keras tensor.
        name: optional str, name of the model.

    Returns:
        A functional `Classifier`.
    """
    sources = keras.utils.get_source_inputs(inputs)
    # one image stays one tensor, not a list of one: Keras minds the difference
    return Classifier(sources[0] if len(sources) == 1 else sources, outputs, name=name)


@keras.saving.register_keras_serializable(package="keras_regionvit")
class Classifier(keras.Model):
    """A functional `keras.Model` that starts to train in half the time.

    Keras leaves it to the first training step to make the variables of the optimizer. TensorFlow
    then traces the step twice and keeps both graphs, 0.5 GiB and half a minute for RegionViT-S.

    Example:

    >>> model = Classifier(backbone.input, outputs)
    """

    @property
    def backbone(self):
        """The `RegionViTBackbone` inside, such as for `model.backbone.enable_lora(4)`."""
        found = [layer for layer in self.layers if isinstance(layer, RegionViTBackbone)]
        if len(found) != 1:
            raise ValueError(f"{self.name!r} holds {len(found)} backbones, not one.")
        return found[0]

    def __call__(self, *args, **kwargs):
        """The outputs of images, which must have the channels that the model takes."""
        check_channels(self, *args)
        return super().__call__(*args, **kwargs)

    def make_train_function(self, force=False):
        """Makes the step of `fit` and `train_on_batch`, the optimizer's variables first."""
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)
