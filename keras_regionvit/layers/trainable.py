"""What changed in the layers of a built model, kept in its configuration: which learn, LoRA."""

import keras

from keras_regionvit.checks.kinds import checked, refuse, shown


def trainable_config(model):
    """What `set_trainable` needs to have the same layers learn in a copy of a model.

    Args:
        model: a built `keras.Model`.

    Returns:
        A dict of plain data: "trainable", of the model itself; "trainable_layers", by path, of the
        layers that differ from the one that they are in; "lora", rank and alpha by path. The last
        two are there only where they say something.

    Example:

    >>> backbone.get_layer("stage1").trainable = False
    >>> trainable_config(backbone)
    {'trainable': True, 'trainable_layers': {'stage1': False}}
    """
    layers, config = dict(_layers(model)), {"trainable": model.trainable}
    parents = {path: layers.get(path.rpartition("/")[0], model) for path in layers}
    differ = {
        path: layer.trainable
        for path, layer in layers.items()
        if layer.trainable != parents[path].trainable
    }
    lora = {
        path: [layer.lora_rank, layer.lora_alpha]
        for path, layer in layers.items()
        if getattr(layer, "lora_enabled", False)
    }
    return config | {k: v for k, v in {"trainable_layers": differ, "lora": lora}.items() if v}


def set_trainable(model, trainable=True, trainable_layers=None, lora=None):
    """Has the layers of a new model learn that `trainable_config` described.

    Args:
        model: a built `keras.Model`, which learns with all layers.
        trainable: bool, whether the model itself does.
        trainable_layers: optional dict of bools by path, parents first.
        lora: optional dict of pairs of rank and alpha by path.

    Raises:
        ValueError: `model` has no layer of a path.

    Example:

    >>> set_trainable(backbone, trainable_layers={"stage1": False})
    """
    layers = dict(_layers(model))
    for path in (*(trainable_layers or ()), *(lora or ())):
        if path not in layers:
            raise ValueError(f"{model.name!r} has no layer {shown(path)} to set `trainable` of.")
    if not trainable:
        model.trainable = False
    for path, learns in (trainable_layers or {}).items():
        layers[path].trainable = learns
    for path, (rank, alpha) in (lora or {}).items():
        layer = layers[path]
        layer.enable_lora(rank, alpha)
        if not layer.trainable:
            layer.trainable = False  # the new variables, too


def enable_lora(model, rank, target_layer_names):
    """Freezes a model but for low-rank additions to the kernels of some Dense layers.

    Args:
        model: a built `keras.Model`.
        rank: int, of the additions.
        target_layer_names: sequence of names of Dense layers.

    Raises:
        ValueError: `rank` is no positive integer, a name is that of no Dense layer, or LoRA is
            already on.

    Example:

    >>> enable_lora(backbone, 4, ("qkv", "proj"))
    """
    rank = checked(rank=rank)["rank"]
    names = (target_layer_names,) if isinstance(target_layer_names, str) else target_layer_names
    dense = [layer for _, layer in _layers(model) if hasattr(layer, "lora_enabled")]
    known = sorted({layer.name for layer in dense})
    if not isinstance(names, (tuple, list)) or not names or not all(n in known for n in names):
        refuse("target_layer_names", f"names of layers among {', '.join(known)}", names)
    if any(layer.lora_enabled for layer in dense):
        raise ValueError(f"LoRA is already on in {model.name!r}, which can be done only once.")
    model.trainable = True
    for _, layer in _layers(model):
        layer.trainable = False
    for layer in dense:
        if layer.name in names:
            layer.trainable = True  # the bias; of the kernel only the additions
            layer.enable_lora(rank)


def policy_of(backbone):
    """The dtype policy of a backbone, with the layers that were quantized since it was built."""
    quantized = {
        layer.path: layer.dtype_policy
        for layer in backbone._flatten_layers(include_self=False)
        if getattr(layer, "quantization_mode", None)
    }
    if not quantized:
        return backbone.policy
    default = getattr(backbone.policy, "default_policy", backbone.policy)
    return keras.dtype_policies.DTypePolicyMap(default, quantized)


def _layers(model, above=""):
    """Pairs of path and layer of all that have weights, parents first."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if layer.weights:
            path = f"{above}{layer.name}"
            yield path, layer
            yield from _layers(layer, f"{path}/")
