"""The RegionViT family as one table (paper, Tables 2 and 3).

Each row holds what the paper's Table 2 prints. The `plus` rows are the paper's
models marked "+"; the `w14` rows are the configurations the official release
ships for them, with a window of 14 in all four stages.
"""

import dataclasses

from keras_regionvit.checks.kinds import shown


@dataclasses.dataclass(frozen=True)
class Paper:
    """What Table 3 of the paper prints for a model.

    Attributes:
        parameters: float, parameters in millions, with 1000 classes.
        gflops: float, multiply-adds at 224x224 in units of 1e9.
        top1: float, top-1 accuracy on the ImageNet-1K validation images, in percent.
    """

    parameters: float
    gflops: float
    top1: float


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of the architecture table.

    Attributes:
        stem: "conv1" or "conv3", the local tokenizer.
        embed_dims: tuple of ints, channels, one entry a stage.
        depths: tuple of ints, encoders, one entry a stage.
        window_size: tuple of ints, local tokens per region side, one entry a stage.
        paper: the row's values in Table 3, `None` where the paper has no such row.
    """

    stem: str
    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]
    window_size: tuple[int, ...]
    paper: Paper | None = None


_SEVEN = (7, 7, 7, 7)
_PLUS = (14, 14, 14, 7)
_FOURTEEN = (14, 14, 14, 14)

# Paper, Table 2 ("3-conv" and "1-conv" are the stems); heads have 32 channels.
_ARCHITECTURES = {
    "tiny": ("conv3", (64, 128, 256, 512), (2, 2, 8, 2)),
    "small": ("conv3", (96, 192, 384, 768), (2, 2, 8, 2)),
    "medium": ("conv1", (96, 192, 384, 768), (2, 2, 14, 2)),
    "base": ("conv1", (128, 256, 512, 1024), (2, 2, 14, 2)),
}

_SIZES = {"tiny": "Ti", "small": "S", "medium": "M", "base": "B"}

VARIANTS: dict[str, Variant] = {
    # Paper, Table 3.
    "tiny": Variant(*_ARCHITECTURES["tiny"], _SEVEN, paper=Paper(13.8, 2.4, 80.4)),
    "tiny_plus": Variant(*_ARCHITECTURES["tiny"], _PLUS, paper=Paper(14.3, 2.7, 81.5)),
    "small": Variant(*_ARCHITECTURES["small"], _SEVEN, paper=Paper(30.6, 5.3, 82.6)),
    "small_plus": Variant(*_ARCHITECTURES["small"], _PLUS, paper=Paper(31.3, 5.7, 83.3)),
    "medium": Variant(*_ARCHITECTURES["medium"], _SEVEN, paper=Paper(41.2, 7.4, 83.1)),
    "medium_plus": Variant(*_ARCHITECTURES["medium"], _PLUS, paper=Paper(42.0, 7.9, 83.4)),
    "base": Variant(*_ARCHITECTURES["base"], _SEVEN, paper=Paper(72.7, 13.0, 83.2)),
    "base_plus": Variant(*_ARCHITECTURES["base"], _PLUS, paper=Paper(73.8, 13.6, 83.8)),
    # The official release's configurations for window 14.
    "tiny_w14": Variant(*_ARCHITECTURES["tiny"], _FOURTEEN),
    "small_w14": Variant(*_ARCHITECTURES["small"], _FOURTEEN),
    "medium_w14": Variant(*_ARCHITECTURES["medium"], _FOURTEEN),
    "base_w14": Variant(*_ARCHITECTURES["base"], _FOURTEEN),
}


def list_models() -> list[str]:
    """Names that `RegionViTBackbone.from_variant` knows, smallest family first.

    Example:

    >>> keras_regionvit.list_models()[:2]
    ['tiny', 'tiny_plus']
    """
    return list(VARIANTS)


def get_variant(name: str) -> Variant:
    """The row of the table called `name`.

    Args:
        name: one of `list_models()`.

    Returns:
        A `Variant`.

    Raises:
        ValueError: `name` is not in the table.
    """
    if not isinstance(name, str) or name not in VARIANTS:
        raise ValueError(
            f"`name` must be one of {', '.join(list_models())}. Received: name={shown(name)}"
        )
    return VARIANTS[name]


def function_name(variant: str) -> str:
    """The name of the public function that builds a variant.

    A "w14" variant is built by the function of its plain model, with `window_size=14`.

    Args:
        variant: one of `list_models()`.

    Returns:
        A name in `keras_regionvit`.

    Raises:
        ValueError: `variant` is not in the table.

    Example:

    >>> function_name("small_plus"), function_name("small_w14")
    ('RegionViTSmallPlus', 'RegionViTSmall')
    """
    get_variant(variant)
    return "RegionViT" + variant.removesuffix("_w14").title().replace("_", "")


def paper_name(variant: str) -> str:
    """The name of a variant in the paper.

    Args:
        variant: one of `list_models()`.

    Returns:
        A name as Table 3 prints it; a "w14" variant has that of its plain model.

    Raises:
        ValueError: `variant` is not in the table.

    Example:

    >>> paper_name("small_plus")
    'RegionViT-S+'
    """
    get_variant(variant)
    size, _, kind = variant.partition("_")
    return f"RegionViT-{_SIZES[size]}{'+' if kind == 'plus' else ''}"
