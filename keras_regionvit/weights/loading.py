"""Official checkpoints into a model, strictly, and back."""

import os
import re

import keras
import numpy as np

from keras_regionvit.backbone import SWITCHES, RegionViTBackbone
from keras_regionvit.files import one_line
from keras_regionvit.tasks.classification import HEAD, NORM
from keras_regionvit.weights import official
from keras_regionvit.weights.arrays import floats
from keras_regionvit.weights.detectors import DETECTORS, IGNORED, OF_CLASSES, STATISTICS
from keras_regionvit.weights.detectors import official_key as official_detector_key
from keras_regionvit.weights.torch_file import read_torch_file
from keras_regionvit.weights.torch_objects import short


def load_official_weights(model, source, *, skip_head=False):
    """Loads a checkpoint of the official PyTorch release, all of it or nothing.

    A file trained with another window size is resized, one stage at a time: bicubic, as the
    official script does, for the regional kernel and the position bias tables.

    Args:
        model: a `RegionViTBackbone`, or a model of this package that holds one.
        source: path of an official `.pth`, or a dictionary of arrays under official keys. A
            detector takes that of a detector (keys under `backbone.bottom_up.model.`) whole; any
            other model takes the backbone of it. A model without a head ignores `head.*`, a bare
            backbone also `norm.*`.
        skip_head: leave the layers as they are that tell classes or keypoints apart. Those of a
            detector are left also where the source has another number of them.

    Returns:
        Official keys whose variables the source did not give: pyramid norms, which become the
        identity, PEG, which becomes zero, the statistics of pixels of a detector with
        `include_preprocessing`, which become those of the released ones; and the layers that
        were left as they are, of a detector.

    Raises:
        ValueError: `model` holds no backbone, keys are missing, unexpected or misshapen, or an
            array does not hold finite real floating point numbers; the model is then as it was.

    Example:

    >>> model = keras_regionvit.RegionViTSmall(weights=None)
    >>> keras_regionvit.load_official_weights(model, "RegionViT-S.pth")
    []
    """
    if isinstance(source, dict):
        arrays, origin = source, "`source`"
    else:
        arrays, origin = read_torch_file(source), os.fspath(source)
    return load_official_arrays(model, arrays, origin, skip_head=skip_head)


def load_official_arrays(model, arrays, origin, *, skip_head=False):
    """Loads arrays under official keys, as `load_official_weights` does.

    Args:
        model: a `RegionViTBackbone`, or a model of this package that holds one.
        arrays: `{official key: array}`.
        origin: where they come from, for messages.
        skip_head: leave the classifier's last layer as it is.

    Returns:
        Official keys that `arrays` lacks and need not have.

    Raises:
        ValueError: `model` holds no backbone, keys are missing, unexpected or misshapen, or an
            array does not hold finite real floating point numbers; the model is then as it was.
    """
    for key in arrays:
        if not isinstance(key, str):
            raise ValueError(f"{origin} must have texts as keys. Received: {_kind_of(key)}")
    variables = _official_variables(model)
    prefix = official.DETECTOR_PREFIX
    detector = any(key.startswith(prefix) for key in variables)
    if not detector and any(key.startswith(prefix) for key in arrays):
        arrays = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    left = _left_out(variables, arrays, detector, skip_head)
    variables = {k: v for k, v in variables.items() if k not in left}
    arrays = {
        k: floats(v, f"{origin}: {short(k)}")
        for k, v in arrays.items()
        if k not in left and not _is_ignored(k, variables, detector)
    }
    absent = [key for key in variables if key not in arrays]
    _check_fit(arrays, variables, f"{origin} does not fit the model {model.name!r}")
    values = {}
    for key, variable in variables.items():
        shape = tuple(variable.shape)
        if key in arrays:
            value = official.to_keras(key, arrays[key], shape)
        else:
            value = official.optional_value(key, shape)
        values[key] = floats(value, f"{origin}: {short(key)}", variable.dtype)
    for key, variable in variables.items():
        variable.assign(values[key])
    return absent + (left if detector else [])


def _left_out(variables, arrays, detector, skip_head):
    """The keys of the layers that tell classes apart, if they are to stay as they are."""
    if not detector:
        return ["head.weight", "head.bias"] if skip_head else []
    left = []
    for prefixes in OF_CLASSES:
        together = [key for key in variables if key.startswith(prefixes)]
        fits = all(
            np.shape(arrays[key]) == official.official_shape(key, tuple(variables[key].shape))
            for key in together
            if key in arrays
        )
        left += together if skip_head or not fits else []
    return left


def _is_ignored(key, variables, detector):
    """Whether an array belongs to a part that the model does without."""
    if detector:
        return re.fullmatch(IGNORED, key) or (key in STATISTICS and key not in variables)
    part = key.split(".")[0]
    return part in (NORM, "head") and f"{part}.weight" not in variables


def _kind_of(key):
    return short(repr(key)) if isinstance(key, (int, float, bytes)) else type(key).__name__


def _check_fit(arrays, variables, problem):
    """That there is an array for each variable and none besides."""
    accepted = {twin for key in variables for twin in official.twin_keys(key)}
    missing = [key for key in variables if key not in arrays and not official.is_optional(key)]
    unexpected = sorted(set(arrays) - accepted)
    misshapen = [
        f"{key}: {tuple(arrays[key].shape)} for {official.official_shape(key, variable.shape)}"
        for key, variable in variables.items()
        if key in arrays and not official.fits(key, arrays[key].shape, tuple(variable.shape))
    ]
    if missing or unexpected or misshapen:
        raise ValueError(
            f"{problem}: missing {_listed(missing)}; unexpected {_listed(unexpected)}; "
            f"of another shape (file for model) {_listed(misshapen)}."
        )


def official_state_dict(model):
    """The weights of a model under the keys and in the layouts of the official release.

    Args:
        model: a `RegionViTBackbone`, or a model of this package that holds one.

    Returns:
        `{official key: float32 array}`; `torch.from_numpy` of each gives a state dict that the
        official model loads.

    Raises:
        ValueError: `model` holds no backbone.

    Example:

    >>> arrays = keras_regionvit.official_state_dict(model)
    >>> torch.save({"model": {k: torch.from_numpy(v) for k, v in arrays.items()}}, "model.pth")
    """
    arrays = {}
    for key, variable in _official_variables(model).items():
        value = keras.ops.convert_to_numpy(variable.value).astype("float32")
        for twin in official.twin_keys(key):
            arrays[twin] = np.array(official.to_official(key, value), order="C")
    return arrays


def _official_variables(model):
    """`{official key: variable}` of the backbone and, where there are, the norm and the head."""
    layers = [*model._flatten_layers(), getattr(model, "backbone", None)]
    backbones = {id(layer): layer for layer in layers if isinstance(layer, RegionViTBackbone)}
    if len(backbones) != 1:
        raise ValueError(
            "`model` must be a RegionViTBackbone or hold exactly one. "
            f"Received: {model.name!r}, which holds {len(backbones)}"
        )
    (backbone,) = backbones.values()
    own = {id(variable) for variable in backbone.weights}
    variables = list(backbone.weights)
    if model is not backbone and not isinstance(model, DETECTORS):
        for layer in model.layers:
            if layer.name in (NORM, HEAD):
                variables += layer.weights
    # windows and masks have no names, but the official model has them one way only
    for switch in ("local_keys", "overlap", "attention"):
        if getattr(backbone, switch) != SWITCHES[switch]:
            raise ValueError(
                "`model` must compute what the official release does. Received a backbone with "
                f"{switch}={getattr(backbone, switch)!r}, an ablation"
            )
    first_level = backbone.patch_size.bit_length() - 1
    try:
        named = {official.official_key(v.path, backbone.stem, first_level): v for v in variables}
        if not isinstance(model, DETECTORS):
            return named
        beside = [v for v in model.weights if id(v) not in own]
        return {
            **{official.DETECTOR_PREFIX + key: v for key, v in named.items()},
            **{official_detector_key(v.path): v for v in beside},
        }
    except KeyError as error:
        raise ValueError(
            f"`model` must be made of the parts that the official release has names for: its "
            f"variable {error} belongs to none of them, but to an ablation."
        ) from None


def _listed(names):
    """At most eight names, each of bounded length, then how many more."""
    if not names:
        return "none"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(one_line(name) for name in names[:8]) + more
