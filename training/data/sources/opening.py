"""Which names of a recipe and of `--data` open which source."""

import functools
from collections.abc import Callable

from training.data.sources import fashion_mnist
from training.data.sources.csv_lists import open_csv
from training.data.sources.dense_opening import DENSE_WITH_PATH
from training.data.sources.folders import open_folder
from training.data.sources.generated import generated_source
from training.data.sources.idx_files import open_idx
from training.data.sources.source import array_source
from training.data.sources.splits import names_of
from training.data.sources.tfds_dense import DENSE_SETS
from training.data.sources.tfds_sets import PREFIX as TFDS
from training.data.sources.tfds_sets import SETS, is_prepared, open_tfds
from training.data.sources.tfrecords import open_tfrecord


def _generated(data, split, *, classes=10, count=None, **options):
    training = split == "train"
    count = count or (1024 if training else 256)
    return generated_source(classes, count, offset=0 if training else 2**24, **options)


def _fashion_mnist(data, split, **options):
    if data is None:
        return open_tfds("fashion_mnist", split, **options)
    return open_idx(data, split, **options)


def _fashion_mnist_6k(data, split, **options):
    part = fashion_mnist.load()[0 if split == "train" else 1]
    name = f"fashion_mnist_6k {split}"
    return array_source(name, fashion_mnist.CLASS_NAMES, *part, **options)


def _tfds(name, data, split, **options):
    return open_tfds(name, split, data=data, **options)


# How to open each source: a function of `data`, `split` and those options of `open_source` that
# are named here; an option that is not given has the function's own default.
OPENERS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    "folder": (open_folder, ("channels", "splits")),
    "csv": (open_csv, ("channels", "multi_label")),
    "tfrecord": (open_tfrecord, ("channels", "classes")),
    "fashion_mnist": (_fashion_mnist, ("channels",)),
    "fashion_mnist_6k": (_fashion_mnist_6k, ("channels",)),
    "generated": (_generated, ("channels", "classes", "count", "multi_label", "size")),
    **{TFDS + name: (functools.partial(_tfds, name), ("channels",)) for name in SETS},
}
SPECS = tuple(OPENERS)
WITH_PATH = ("folder", "csv", "tfrecord")  # what is nowhere unless told
PREFIXES = (TFDS, *(f"{spec}:" for spec in WITH_PATH))  # what --data may begin with


def split_spec(text):
    """What `--data` names: a source, a path or both.

    Args:
        text: a path, one of `PREFIXES` or "coco:", "voc:", "masks:" before a path or the name of a
            TFDS set, or None.

    Returns:
        `(spec, data)` for `open_source`; None for what the text leaves open.

    Example:

    >>> split_spec("folder:/photos"), split_spec("tfds:cifar10"), split_spec("/photos")
    (('folder', '/photos'), ('tfds:cifar10', None), (None, '/photos'))
    """
    if text and text.startswith(TFDS):
        return text, None
    for prefix in (*PREFIXES, *(f"{spec}:" for spec in DENSE_WITH_PATH)):
        if text and text.startswith(prefix):
            return prefix[:-1], text.removeprefix(prefix)
    return None, text


def open_source(
    spec,
    split,
    *,
    data=None,
    classes=None,
    channels=None,
    multi_label=False,
    count=None,
    size=64,
    splits=True,
):
    """Opens one part of a set of labelled images.

    Args:
        spec: one of `SPECS`; see `open_folder`, `open_csv`, `open_tfrecord`, `open_tfds`,
            `open_idx` and `generated_source` for what each expects of `data`.
        split: "train", "validation" or "test"; "all" for folders and lists that nobody divided.
        data: a folder, or a CSV file. `fashion_mnist` takes TFDS without it.
        classes: optional, how many there must be; for "generated" how many to make.
        channels: 3 or 1; the set's own if None, 3 for files.
        multi_label: whether an image has any number of classes, for "csv" and "generated".
        count: images to generate, 1024 to learn from and 256 to test if None.
        size: pixels a side of generated images.
        splits: whether folders called train, val or test are parts of the data rather than
            classes, for "folder".

    Returns:
        A `Source`.

    Raises:
        ValueError: `spec` or `split` is unknown, the data are missing or wrong, or the number of
            classes is not `classes`.

    Example:

    >>> open_source("folder", "train", data="flowers", classes=5)
    """
    if spec not in SPECS:
        raise ValueError(f"`data` must be one of {', '.join(SPECS)}. Received: {spec!r}")
    names_of(split)  # refuses an unknown one
    if spec in WITH_PATH and data is None:
        raise ValueError(why_not_here(spec))
    options = {
        "classes": classes or None,
        "channels": channels or None,
        "multi_label": multi_label,
        "count": count,
        "size": size,
        "splits": splits,
    }
    opener, taken = OPENERS[spec]
    given = {name: options[name] for name in taken if options[name] is not None}
    return with_classes(opener(data, split, **given), classes)


def why_not_here(spec, data=None):
    """Why a source cannot be opened as it is named, though nothing wrong was said of it.

    Args:
        spec: as for `open_source`.
        data: likewise.

    Returns:
        A sentence: it is nowhere unless told, or would be downloaded first; else None.

    Example:

    >>> why_not_here("folder")
    '--data must say where the images are, as the recipe reads a folder.'
    """
    if spec in (*WITH_PATH, *DENSE_WITH_PATH) and data is None:
        return f"--data must say where the images are, as the recipe reads a {spec}."
    spec = f"{TFDS}{spec}" if spec == "fashion_mnist" and data is None else spec
    name = spec.removeprefix(TFDS)
    if spec.startswith(TFDS) and name in (*SETS, *DENSE_SETS) and not is_prepared(name, data):
        return f"{spec} is not on this machine; training downloads and prepares it first."
    return None


def with_classes(source, classes):
    """The source, once it is found to have as many classes as `classes`, unless that is None.

    Raises:
        ValueError: it has another number.
    """
    found = len(source.info["class_names"])
    if classes and found != classes:
        raise ValueError(
            f"`classes` must be {found}, as many as {source.name} has. Received: {classes}"
        )
    return source
