"""A recipe: every figure of a training, flat, typed and checked."""

import dataclasses
import difflib
import types
import typing
from typing import Any

from keras_regionvit.variants import VARIANTS, get_variant

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # on 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)

CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "decay": ("official", "kernels"),
    "schedule": ("epoch", "step"),
    "crop": ("random_resized", "shift", "none"),
    "precision": ("float32", "bfloat16", "float16"),
    "stem": ("conv1", "conv3", "patch"),
    "channels": (1, 3),
    "repeats": (1, 2, 3, 4),
}
AT_LEAST = {
    "image_size": 1, "patch_size": 1, "epochs": 1, "batch_size": 1, "rate_batch": 1,
    "accumulation": 1, "classes": 0, "images": 0, "frame": 0, "shift_pixels": 0, "warmup_epochs": 0,
    "learning_rate": 0, "warmup_rate": 0, "floor_rate": 0, "weight_decay": 0, "clip_norm": 0,
    "mixup": 0, "cutmix": 0, "color_jitter": 0,
}  # fmt: skip
SHARES = (
    "drop_path_rate", "label_smoothing", "momentum", "ema", "flip", "erasing",
    "switch_probability", "crop_ratio",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The figures of a training; defaults are the paper's for ImageNet-1K (Table A1).

    Attributes:
        name: the recipe's name.
        data: where images come from, such as "tfds:imagenet2012"; see `training.data.sources`.
        train_split: the part of the data to learn from.
        eval_split: the part to be judged on.
        images: how many images to generate, for the data "generated"; 0 means 1,024.
        classes: number of classes; 0 means as many as the data has.
        multi_label: whether an image may belong to several classes, or none.
        channels: 3 for colour, 1 for grey.
        image_size: height and width of the images in pixels.
        variant: a name of `keras_regionvit.list_models()`, or "" for `embed_dims` and `depths`.
        embed_dims: channels a stage, without a variant.
        depths: encoders a stage, without a variant.
        stem: "conv1", "conv3" or "patch", without a variant.
        patch_size: pixels per local token side, without a variant.
        window_size: local tokens per region side, one entry a stage; () means the variant's,
            enlarged with the image as section A.1 does (7 at 224 pixels is 12 at 384).
        frame: black pixels around each image; the model then also normalises by itself.
        regional_tokens: this and the next six are the paper's ablations, see `RegionViTBackbone`.
        weight_sharing: between regional and local attention.
        local_keys: of local attention.
        downsample: between stages.
        position: of attention.
        overlap: of windows.
        attention: its kind.
        drop_path_rate: stochastic depth of the last encoder.
        weights: what to start from: "", "imagenet" or a file.
        needs_weights: whether the recipe makes sense only with `weights`.
        epochs: how often the images are gone through.
        batch_size: images a step, over all devices.
        accumulation: parts that a device computes its share of a batch in, one after another.
        optimizer: "adamw" or "sgd".
        learning_rate: peak rate for a batch of `rate_batch` images; it grows with the batch.
        rate_batch: the batch that `learning_rate` is meant for.
        schedule: whether the rate changes by "epoch", as timm does by default, or by "step".
        warmup_epochs: length of the warm-up.
        warmup_rate: first rate of the warm-up.
        floor_rate: last rate.
        weight_decay: decoupled for AdamW, L2 for SGD.
        decay: what decays: "official" is all but 1-D parameters and biases, "kernels" only
            matrices and kernels.
        momentum: of SGD.
        clip_norm: greatest norm of all gradients together; 0 means no clipping.
        ema: share of the averaged weights kept each step, such as 0.9999; 0 means none. The
            average is then what is evaluated and exported.
        label_smoothing: share of a label spread over all classes.
        repeats: differently augmented copies of an image in an epoch (instance repetition).
        auto_augment: "rand-m9-mstd0.5-inc1" or "".
        color_jitter: strength, used where `auto_augment` is "".
        flip: share of the images that are mirrored.
        mixup: alpha of MixUp; 0 means none.
        cutmix: alpha of CutMix; 0 means none.
        switch_probability: share of the batches with CutMix where both are on.
        erasing: share of the images with a part erased.
        crop: "random_resized", "shift" (by up to `shift_pixels`) or "none".
        shift_pixels: see `crop`.
        crop_ratio: share of the shorter side that evaluation crops.
        mean: of the pixels on 0..255, one entry a channel.
        std: likewise.
        precision: "float32", or the half precision "bfloat16" or "float16" with float32 weights.
        deterministic: whether the same seed gives the same weights, bit by bit; without XLA, and
            slower on a GPU.

    Raises:
        ValueError: a figure is out of range or does not fit another.

    Example:

    >>> Recipe("mine", data="folder", classes=0, epochs=30, batch_size=64)
    """

    name: str
    data: str
    train_split: str = "train"
    eval_split: str = "validation"
    images: int = 0
    classes: int = 1000
    multi_label: bool = False
    channels: int = 3
    image_size: int = 224
    variant: str = "small"
    embed_dims: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    stem: str = "conv3"
    patch_size: int = 4
    window_size: tuple[int, ...] = ()
    frame: int = 0
    regional_tokens: bool = True
    weight_sharing: bool = True
    local_keys: str = "own"
    downsample: str = "depthwise"
    position: str = "relative"
    overlap: bool = False
    attention: str = "regional_to_local"
    drop_path_rate: float = 0.1
    weights: str = ""
    needs_weights: bool = False
    epochs: int = 300
    batch_size: int = 4096
    accumulation: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 5e-4
    rate_batch: int = 512
    schedule: str = "epoch"
    warmup_epochs: float = 50
    warmup_rate: float = 1e-6
    floor_rate: float = 1e-5
    weight_decay: float = 0.05
    decay: str = "official"
    momentum: float = 0.9
    clip_norm: float = 0.0
    ema: float = 0.0
    label_smoothing: float = 0.1
    repeats: int = 3
    auto_augment: str = "rand-m9-mstd0.5-inc1"
    color_jitter: float = 0.4
    flip: float = 0.5
    mixup: float = 0.8
    cutmix: float = 1.0
    switch_probability: float = 0.5
    erasing: float = 0.25
    crop: str = "random_resized"
    shift_pixels: int = 2
    crop_ratio: float = 224 / 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    precision: str = "float32"
    deterministic: bool = False

    def __post_init__(self):
        _check(self)

    @property
    def peak_rate(self):
        """The highest learning rate, a float."""
        return self.learning_rate * self.batch_size / self.rate_batch

    @property
    def windows(self):
        """Local tokens per region side, one entry a stage."""
        if self.window_size or not self.variant:
            return self.window_size
        own = get_variant(self.variant).window_size
        whole = self.image_size % 32 == 0  # 7 tokens at 224 pixels: one for each 32 pixels
        return tuple(m * self.image_size // 224 for m in own) if whole else own

    def with_overrides(self, overrides):
        """The recipe with some figures changed.

        A tiny variant switches instance repetition off, as the paper's Table A1 does, unless
        `repeats` is among the overrides.

        Args:
            overrides: a dict of texts by the name of the figure, as `--set` gives them.

        Returns:
            A new `Recipe`.

        Raises:
            ValueError: a name is unknown, a text is not of the figure's type, or the result
                makes no sense.

        Example:

        >>> recipe.with_overrides({"epochs": "100", "window_size": "14,14,14,7"})
        """
        changes = {key: _parse(key, text) for key, text in overrides.items()}
        if changes.get("variant", "").startswith("tiny") and self.repeats > 1:
            changes.setdefault("repeats", 1)
        return dataclasses.replace(self, **changes)

    def to_dict(self):
        """The figures as plain data, for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}

    @classmethod
    def from_dict(cls, values):
        """The recipe that `to_dict` described.

        Raises:
            ValueError: figures are missing or unknown.
        """
        figures: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        try:
            return cls(**figures)
        except TypeError as error:
            raise ValueError(f"the recipe is of another version of this code: {error}.") from None


TYPES = typing.get_type_hints(Recipe)


def _parse(key, text):
    """The value that `text` means for the figure `key`."""
    if key not in TYPES or key == "name":
        near = difflib.get_close_matches(key, TYPES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"--set: a recipe has no figure {key!r}{hint}")
    kind = TYPES[key]
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        if isinstance(kind, types.GenericAlias):
            (item, _) = typing.get_args(kind)
            return tuple(item(part) for part in text.strip("()[] ").split(",") if part.strip())
        return kind(text)
    except (ValueError, KeyError):
        name = getattr(kind, "__name__", str(kind))
        wanted = {
            "int": "a whole number",
            "float": "a number",
            "bool": "true or false",
        }.get(name, "numbers with commas between")
        if isinstance(kind, types.GenericAlias):
            wanted = "numbers with commas between"
        raise ValueError(f"--set {key} must be {wanted}, not {text!r}") from None


def _check(recipe):
    """That the figures make sense, each and together."""

    def require(condition, key, wanted):
        if not condition:
            raise ValueError(f"`{key}` must be {wanted}. Received: {getattr(recipe, key)!r}")

    for key, choices in CHOICES.items():
        listed = ", ".join(map(str, choices))
        require(getattr(recipe, key) in choices, key, f"one of {listed}")
    for key, least in AT_LEAST.items():
        require(least <= getattr(recipe, key) < float("inf"), key, f"a number of at least {least}")
    for key in SHARES:
        require(0 <= getattr(recipe, key) <= 1, key, "between 0 and 1")
    require(recipe.drop_path_rate < 1, "drop_path_rate", "below 1")
    require(recipe.ema < 1, "ema", "below 1")
    require(recipe.crop_ratio > 0, "crop_ratio", "above 0")
    require(recipe.learning_rate > 0, "learning_rate", "above 0")
    require(recipe.variant == "" or recipe.variant in VARIANTS, "variant",
            f"one of {', '.join(VARIANTS)}, or empty with `embed_dims`")  # fmt: skip
    stages = 4 if recipe.variant else len(recipe.embed_dims)
    if recipe.variant:
        require(not recipe.embed_dims, "embed_dims", "empty where `variant` is set")
        require(not recipe.depths, "depths", "empty where `variant` is set")
    else:
        require(stages > 0, "embed_dims", "channels a stage where `variant` is empty")
        require(len(recipe.depths) == stages, "depths", f"{stages} numbers, as `embed_dims` has")
        require(len(recipe.window_size) == stages, "window_size", f"{stages} numbers, one a stage")
    require(len(recipe.window_size) in (0, stages), "window_size", f"{stages} numbers, or none")
    for key in ("mean", "std"):
        wanted = f"{recipe.channels} numbers, one a channel"
        require(len(getattr(recipe, key)) == recipe.channels, key, wanted)
    require(min(recipe.std) > 0, "std", "above 0")
    require(recipe.warmup_epochs < recipe.epochs, "warmup_epochs", f"below {recipe.epochs} epochs")
    require(recipe.batch_size % recipe.accumulation == 0, "accumulation",
            f"a divisor of the batch of {recipe.batch_size}")  # fmt: skip
    require(recipe.multi_label or recipe.classes != 1, "classes", "at least 2")
