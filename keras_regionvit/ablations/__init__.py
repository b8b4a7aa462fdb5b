"""What the paper's section 4.4 switches (Tables 8 to 14, A5): strings to layer classes.

`RegionViTBackbone` imports this only where one of its arguments is not RegionViT's own.
"""

import functools

from keras_regionvit.ablations.downsample import DenseDownsampling, PatchMerging
from keras_regionvit.ablations.local import LocalStage
from keras_regionvit.ablations.shifted_window import ShiftedWindowStage
from keras_regionvit.ablations.stage import OverlappedStage, SwitchedStage
from keras_regionvit.ablations.tokens import AbsolutePosition, PatchTokenizer

_DOWNSAMPLING = {
    "dense3": functools.partial(DenseDownsampling, kernel_size=3),
    "dense2": functools.partial(DenseDownsampling, kernel_size=2),
    "patch_merging": PatchMerging,
}


def parts_of(switches, stem, input_shape):
    """The layer classes that differ from RegionViT's own.

    Args:
        switches: dict `{argument of the backbone: value}`, all of them.
        stem: str, the backbone's argument; "patch" is Swin's.
        input_shape: `(height, width, channels)` of the image in pixels.

    Returns:
        A dict of what the backbone calls as it calls its own: "tokenizer", "downsampling",
        "stage" or "position", those that differ.

    Raises:
        ValueError: a value is unknown, or does not fit another or `input_shape`.

    Example:

    >>> switches = {**keras_regionvit.backbone.SWITCHES, "downsample": "patch_merging"}
    >>> parts_of(switches, "conv3", (224, 224, 3))
    """
    check(switches, input_shape)
    parts: dict = {}
    if stem == "patch":
        parts["tokenizer"] = _patch_tokenizer
    if switches["downsample"] != "depthwise":
        parts["downsampling"] = _DOWNSAMPLING[switches["downsample"]]
    if switches["position"] in ("absolute", "both"):
        parts["position"] = AbsolutePosition
    relative = {"relative_position": switches["position"] in ("relative", "both")}
    if not switches["regional_tokens"]:
        shifted = switches["attention"] == "shifted_window"
        kind = ShiftedWindowStage if shifted else LocalStage
        parts["stage"] = functools.partial(kind, **relative)
    else:
        inside = {name: switches[name] for name in ("weight_sharing", "local_keys")} | relative
        if switches["overlap"]:
            parts["stage"] = functools.partial(OverlappedStage, **inside)
        elif inside != {"weight_sharing": True, "local_keys": "own", "relative_position": True}:
            parts["stage"] = functools.partial(SwitchedStage, **inside)
    return parts


def check(switches, input_shape):
    """That the switches, each of a known value, fit each other and the image.

    Args:
        switches: dict `{argument of the backbone: value}`, all of them.
        input_shape: `(height, width, channels)` of the image in pixels.

    Raises:
        ValueError: they do not; the sentence names the argument.
    """
    if switches["attention"] == "shifted_window" and switches["regional_tokens"]:
        raise ValueError(
            "`attention='shifted_window'` knows no regional tokens; set `regional_tokens=False`."
        )
    if not switches["regional_tokens"]:
        for name, needed in (("weight_sharing", True), ("local_keys", "own"), ("overlap", False)):
            if switches[name] != needed:
                raise ValueError(
                    f"`{name}`={switches[name]!r} needs regional tokens; set "
                    f"`regional_tokens=True` or `{name}`={needed!r}."
                )
    if switches["position"] in ("absolute", "both") and None in input_shape:
        raise ValueError(
            f"`position={switches['position']!r}` fixes the size of the image, so `input_shape` "
            "must have integers for height and width, such as (224, 224, 3). "
            f"Received: input_shape={tuple(input_shape)}"
        )


def _patch_tokenizer(embed_dim, patch_size, stem, image_channels, gradient_checkpointing, **kwargs):
    """The stem "patch", called as `LocalTokenizer` is: it keeps nothing but the image."""
    return PatchTokenizer(embed_dim, patch_size, image_channels, **kwargs)
