"""What the parts of a data set are called, and by which names files and folders mean them."""

# Where a data set holds out one part only, it serves as both "validation" and "test".
NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "test"),
    "test": ("test", "validation", "val", "valid"),
}


def names_of(split):
    """The names under which a part may lie, best first.

    Args:
        split: "train", "validation" or "test".

    Returns:
        A tuple of strings.

    Raises:
        ValueError: `split` is another one.

    Example:

    >>> names_of("train")
    ('train', 'training')
    """
    if split not in NAMES:
        raise ValueError(f"`split` must be train, validation or test. Received: {split!r}")
    return NAMES[split]
