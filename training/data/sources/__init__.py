"""Where pictures come from: one name for each place."""

from training.data.sources import fashion_mnist
from training.data.sources.csv_lists import open_csv
from training.data.sources.folders import open_folder
from training.data.sources.generated import generated_source
from training.data.sources.idx_files import open_idx
from training.data.sources.source import Source, array_source
from training.data.sources.tfds_sets import SETS, open_tfds
from training.data.sources.tfrecords import open_tfrecord

__all__ = ["SPECS", "Source", "open_source"]
SPECS = (
    "folder",
    "csv",
    "tfrecord",
    "fashion_mnist",
    "fashion_mnist_6k",
    "generated",
    *(f"tfds:{name}" for name in SETS),
)


def open_source(
    spec,
    split,
    *,
    data=None,
    classes=None,
    class_names=None,
    channels=None,
    multi_label=False,
    images=None,
    count=None,
    size=64,
):
    """Opens one part of a set of labelled pictures.

    Args:
        spec: one of `SPECS`; see `open_folder`, `open_csv`, `open_tfrecord`, `open_tfds`,
            `open_idx` and `generated_source` for what each expects of `data`.
        split: "train", "validation" or "test".
        data: a folder, or a CSV file. `fashion_mnist` takes TFDS without it.
        classes: optional, how many there must be; for "generated" how many to make.
        class_names: optional, the classes of folders, lists and TFRecord files in their order.
        channels: 3 or 1; the set's own if None, 3 for files.
        multi_label: whether a picture has any number of classes, for "csv" and "generated".
        images: folder that a CSV file names its pictures from.
        count: pictures to generate, 1024 to learn from and 256 to test if None.
        size: pixels a side of generated pictures.

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
    if split not in ("train", "validation", "test"):
        raise ValueError(f"`split` must be train, validation or test. Received: {split!r}")
    if spec in ("folder", "csv", "tfrecord") and data is None:
        raise ValueError(f"--data must say where the pictures are, as the recipe reads a {spec}.")
    training = split == "train"
    if spec == "folder":
        source = open_folder(data, split, class_names=class_names, channels=channels or 3)
    elif spec == "csv":
        source = open_csv(
            data,
            split,
            class_names=class_names,
            images=images,
            channels=channels or 3,
            multi_label=multi_label,
        )
    elif spec == "tfrecord":
        source = open_tfrecord(
            data, split, classes=classes, class_names=class_names, channels=channels or 3
        )
    elif spec == "generated":
        source = generated_source(
            classes or 10,
            count or (1024 if training else 256),
            size=size,
            channels=channels or 3,
            multi_label=multi_label,
            offset=0 if training else 2**24,
        )
    elif spec == "fashion_mnist_6k":
        part = fashion_mnist.load()[0 if training else 1]
        source = array_source(
            f"{spec} {split}", fashion_mnist.CLASS_NAMES, *part, channels=channels
        )
    elif spec == "fashion_mnist" and data is not None:
        source = open_idx(data, split, channels=channels or 1)
    else:
        name = spec.removeprefix("tfds:")
        source = open_tfds(name, split, data=data, channels=channels)
    if classes and len(source.class_names) != classes:
        raise ValueError(
            f"`classes` must be {len(source.class_names)}, as many as {source.name} has. "
            f"Received: {classes}"
        )
    return source
