"""Words about data sets, of bounded length: names, lists of names, classes and their counts."""

MOST_NAMES = 10


def shown(name, most=200):
    """A path or name as it can be printed, shortened in the middle.

    Example:

    >>> shown("a" * 300, most=10)
    'aaaaa...aaaaa'
    """
    text = str(name)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"


def some_of(texts):
    """The first texts of many with commas between, and how many more there are.

    Example:

    >>> some_of(map(str, range(12)))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    texts = list(texts)
    first = ", ".join(shown(text, 60) for text in texts[:MOST_NAMES])
    more = len(texts) - MOST_NAMES
    return f"{first} and {more:,} more" if more > 0 else first


def class_summary(class_names, counts=None):
    """The classes and how many examples each has.

    Args:
        class_names: strings.
        counts: optional, an integer for each.

    Returns:
        A line of text of bounded length.

    Example:

    >>> class_summary(["cat", "dog"], [9, 11])
    '2 classes: cat 9, dog 11'
    """
    words = [shown(name, 40) for name in class_names[:MOST_NAMES]]
    if counts is not None:
        words = [f"{name} {int(n):,}" for name, n in zip(words, counts, strict=False)]
    more = len(class_names) - len(words)
    return f"{len(class_names):,} classes: {', '.join(words)}" + (
        f" and {more:,} more" if more else ""
    )
