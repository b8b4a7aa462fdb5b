"""The dotted names of settings, and those that earlier versions had."""

import difflib

from training.recipes.settings import shown

_RENAMED = {
    "data": "data.source",
    "frame": "model.border",
    "optimizer": "optimizer.name",
    "rate_batch": "optimizer.base_batch_size",
    "schedule": "schedule.every",
    "warmup_rate": "schedule.warmup_learning_rate",
    "floor_rate": "schedule.min_learning_rate",
}
_MOVED = {
    "data": "train_split eval_split images image_size channels mean std batch_size",
    "model": "variant embed_dims depths stem patch_size window_size regional_tokens weight_sharing "
    "local_keys downsample position overlap attention drop_path_rate weights needs_weights",
    "augment": "repeats crop shift_pixels auto_augment color_jitter flip mixup cutmix "
    "switch_probability erasing",
    "optimizer": "learning_rate weight_decay decay momentum clip_norm ema accumulation",
    "schedule": "epochs warmup_epochs",
    "evaluate": "crop_ratio",
    "compute": "precision deterministic",
    "classification": "classes multi_label label_smoothing",
}
# The flat names up to version 0.1.0: --set refuses them, a run's record may still have them.
OLD_NAMES = _RENAMED | {
    name: f"{section}.{name}" for section, names in _MOVED.items() for name in names.split()
}


def unknown(key, keys, prefix=""):
    """What to say of a name that no setting has.

    Args:
        key: the name.
        keys: the dotted names of all settings.
        prefix: what stands before the names, such as "--set ".

    Returns:
        A sentence, with the right name where `key` is close to one.

    Example:

    >>> unknown("epochs", ["schedule.epochs"], "--set ")
    '--set epochs is now --set schedule.epochs'
    """
    old = {name: new for name, new in OLD_NAMES.items() if new in keys}
    if key in old:
        return f"{prefix}{key} is now {prefix}{old[key]}"
    bare = {name.partition(".")[2]: name for name in reversed(keys)}
    if key in bare:
        return f"{prefix}{key} needs its section: {prefix}{bare[key]}"
    meant = {**{name: name for name in keys}, **bare, **old}
    last = key.rpartition(".")[2]  # the section may be the mistake
    near = [last] if last in meant else difflib.get_close_matches(key, meant, 1)
    near = near or difflib.get_close_matches(last, meant, 1)
    hint = f"; did you mean {meant[near[0]]!r}?" if near else ""
    return f"{prefix.strip() + ': ' if prefix else ''}a recipe has no setting {shown(key)}{hint}"
