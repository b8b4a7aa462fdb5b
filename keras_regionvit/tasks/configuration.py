"""The configuration of a model that stands on a backbone."""

import keras

from keras_regionvit.layers.trainable import set_trainable, trainable_config

_LEARNS = ("trainable", "trainable_layers", "lora")


def config_of(model, settings):
    """What `model_of` needs to make a model again: its backbone, settings, and which layers learn.

    Args:
        model: a `keras.Model` with a `backbone`.
        settings: pairs of the other arguments of its constructor.

    Returns:
        A dict of plain data.
    """
    backbone = keras.saving.serialize_keras_object(model.backbone)
    return {
        "backbone": backbone,
        **dict(settings),
        "name": model.name,
        **trainable_config(model),
    }


def model_of(kind, config, custom_objects=None):
    """The model that `config_of` described.

    Args:
        kind: its class.
        config: the dict.
        custom_objects: optional dict, as in `keras.saving.deserialize_keras_object`.

    Returns:
        A model of that class.
    """
    learns = {key: config[key] for key in _LEARNS if key in config}
    arguments = {key: value for key, value in config.items() if key not in _LEARNS}
    arguments["backbone"] = keras.saving.deserialize_keras_object(
        config["backbone"], custom_objects
    )
    # all of it learns before the layers are told apart
    model = kind(**arguments)
    model.trainable = True
    set_trainable(model, **learns)
    return model
