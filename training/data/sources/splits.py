"""What the parts of a data set are called, and by which names files and folders mean them."""

# Where a data set holds out one part only, it serves as both "validation" and "test".
NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "test"),
    "test": ("test", "validation", "val", "valid"),
    "all": (),  # of data that nobody has divided
}
# The part that a folder or file of this name is.
PARTS = {"train": "train", "training": "train", "test": "test"}
PARTS |= dict.fromkeys(("validation", "val", "valid"), "validation")
HELD_OUT = 10  # every tenth image of a class, where the data are not divided


def names_of(split):
    """The names under which a part may lie, best first, in small letters.

    Args:
        split: "train", "validation", "test", or "all" for all of data that are not divided.

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


def tenth(items, split):
    """The items of a part where the data are not divided: each tenth is held out.

    Args:
        items: a list. The only item of a list is learnt from.
        split: as for `names_of`.

    Returns:
        A list.

    Example:

    >>> tenth(list(range(21)), "validation")
    [0, 10, 20]
    """
    if split == "all":
        return items
    held_out = range(0, len(items), HELD_OUT) if len(items) > 1 else range(0)
    if split == "train":
        return [item for i, item in enumerate(items) if i not in held_out]
    return [items[i] for i in held_out]
