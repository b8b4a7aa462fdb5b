"""What a RandAugment setting such as "rand-m9-mstd0.5-inc1" means: timm's, in a dataclass."""

import dataclasses
import re

KEYS = {
    "m": "magnitude",
    "n": "ops",
    "p": "probability",
    "mstd": "magnitude_std",
    "mmax": "magnitude_max",
    "inc": "increasing",
}


@dataclasses.dataclass(frozen=True)
class Policy:
    """A RandAugment policy.

    Attributes:
        magnitude: mean strength on 0..10 ("m").
        ops: how many operations are drawn for an image, with replacement ("n").
        probability: how often a drawn operation is carried out ("p").
        magnitude_std: standard deviation of the strength, drawn again for every operation;
            above 100: even on 0..`magnitude` instead ("mstd").
        magnitude_max: drawn strengths are clipped to 0..this ("mmax").
        increasing: whether a greater strength changes the image more in all operations ("inc");
            else posterize and solarize act less, and enhance factors are 0.1..1.9.
    """

    magnitude: float = 10.0
    ops: int = 2
    probability: float = 0.5
    magnitude_std: float = 0.0
    magnitude_max: float = 10.0
    increasing: bool = False


def parse_policy(text):
    """Reads a setting as timm writes it.

    Args:
        text: "rand" and settings, joined by "-".

    Returns:
        A `Policy`.

    Raises:
        ValueError: the text is not of this kind.

    Example:

    >>> parse_policy("rand-m9-mstd0.5-inc1").magnitude_std
    0.5
    """
    kind, *sections = text.split("-")
    settings: dict[str, float] = {}
    for section in sections:
        match = re.fullmatch(r"([a-z]+)(\d+\.?\d*)", section)
        if not match or match[1] not in KEYS:
            kind = ""
            break
        settings[KEYS[match[1]]] = float(match[2])
    if kind != "rand":
        raise ValueError(
            '`auto_augment` must be "rand" followed by any of -m9, -n2, -p0.5, -mstd0.5, -mmax10 '
            f'and -inc1, such as "rand-m9-mstd0.5-inc1". Received: {text!r}'
        )
    if settings.get("probability", 0.5) > 1:
        raise ValueError(f"`auto_augment` has a probability (-p) above 1. Received: {text!r}")
    if not float(settings.get("ops", 2)).is_integer():
        raise ValueError(f"`auto_augment` has a broken number of ops (-n). Received: {text!r}")
    ops, increasing = int(settings.pop("ops", 2)), bool(settings.pop("increasing", 0))
    return Policy(ops=ops, increasing=increasing, **settings)  # type: ignore[arg-type]
