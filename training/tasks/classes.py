"""Whether the classes of data are those that a model has learnt."""

from training.recipes.settings import shown


def of_same_classes(source, info):
    """A source that a model can be judged on.

    Args:
        source: a `training.data.sources.source.Source`, whose `info` has the `class_names`.
        info: that of the source that the model learnt from; `None` if it is not known.

    Returns:
        `source`.

    Raises:
        ValueError: it has another number of classes, or one that the model knows by its name in
            another place.

    Example:

    >>> of_same_classes(source, {"class_names": ("cat", "dog")})
    """
    own = list((info or {}).get("class_names", ()))
    found = list(source.info["class_names"])
    in_place = all(own.index(name) == found.index(name) for name in set(own) & set(found))
    if own and not (len(own) == len(found) and in_place):
        raise ValueError(
            f"{source.name} must have the {len(own)} classes that the run began with, "
            f"{shown(own)}. Received {len(found)}: {shown(found)}"
        )
    return source
