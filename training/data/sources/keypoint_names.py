"""The keypoints of a data set: their names, which are left and right, the lines between them."""

from training.data.sources.words import shown, some_of


def keypoint_info(name, categories):
    """What the categories of a COCO file say of keypoints.

    Args:
        name: of the file, for messages.
        categories: a list of dicts; those with keypoints must have the same.

    Returns:
        See `named_info`.

    Raises:
        ValueError: no category has keypoints, they differ, or a name or the skeleton is wrong.

    Example:

    >>> keypoint_info("a.json", [{"keypoints": ["nose", "left_eye", "right_eye"]}])["keypoints"]
    3
    """
    having = [category for category in categories if category.get("keypoints")]
    if not having:
        raise ValueError(f"{name} has no category with a list of keypoints.")
    first = having[0]
    names = first["keypoints"]
    if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
        raise ValueError(
            f"{name}: the category {_of(first)} has keypoints that are no list of names: "
            f"{shown(names, 80)}."
        )
    if len(set(names)) < len(names):
        raise ValueError(
            f"{name}: the category {_of(first)} names a keypoint twice: {some_of(names)}."
        )
    for other in having[1:]:
        if other["keypoints"] != names:
            raise ValueError(
                f"{name}: the categories {_of(first)} and {_of(other)} have different keypoints; "
                "all that have some must have the same."
            )
    return named_info(names, _skeleton(name, first, len(names)))


def named_info(names, skeleton=()):
    """The part of a source's `info` that is of keypoints.

    Args:
        names: K strings.
        skeleton: pairs of numbers from 0, between which a line is drawn.

    Returns:
        {"keypoints": int K, "keypoint_names": tuple of str, "keypoint_pairs": pairs of numbers,
        each a left one and its right one, "skeleton": pairs of numbers}.

    Example:

    >>> named_info(["nose", "left_eye", "right_eye"])["keypoint_pairs"]
    ((1, 2),)
    """
    return {
        "keypoints": len(names),
        "keypoint_names": tuple(names),
        "keypoint_pairs": swap_pairs(names),
        "skeleton": tuple((int(a), int(b)) for a, b in skeleton),
    }


def swap_pairs(names):
    """Which keypoints change places in a mirror: those that are called left and right.

    Args:
        names: strings; case does not matter.

    Returns:
        A tuple of (number of the left one, number of the right one).

    Example:

    >>> swap_pairs(["nose", "left_eye", "right_eye"])
    ((1, 2),)
    """
    places = {name.lower(): place for place, name in enumerate(names)}
    pairs = (
        (place, places.get(name.replace("left", "right")))
        for name, place in places.items()
        if "left" in name
    )
    return tuple((left, right) for left, right in pairs if right is not None)


def _skeleton(name, category, count):
    """The pairs of a category's skeleton, which counts from 1, from 0."""
    lines = category.get("skeleton") or []
    right = isinstance(lines, list) and all(
        isinstance(line, list)
        and len(line) == 2
        and all(type(end) is int and 1 <= end <= count for end in line)
        for line in lines
    )
    if not right:
        raise ValueError(
            f"{name}: the category {_of(category)} has a skeleton that is no list of pairs of its "
            f"{count} keypoints, counted from 1: {shown(lines, 80)}."
        )
    return [(a - 1, b - 1) for a, b in lines]


def _of(category):
    return shown(category.get("name"), 40)
