"""Sets that TensorFlow Datasets knows, read from the TFRecord files that it prepares."""

from pathlib import Path

import tensorflow as tf

from training.data.sources.splits import names_of
from training.data.sources.tfrecords import WINDOW, damaged_record, stream_source

PREFIX = "tfds:"
# ReaL gives an image of ImageNet's validation split every label that fits it, or none.
SETS = {
    "imagenet2012": "label",
    "imagenet2012_real": "real_label",
    "imagenet_v2": "label",
    "cifar10": "label",
    "cifar100": "label",
    "oxford_iiit_pet": "label",
    "fashion_mnist": "label",
}


def open_tfds(name, split, *, data=None, channels=None, window=WINDOW):
    """A set of TensorFlow Datasets, which prepares it if it has not yet.

    `imagenet2012` and `imagenet2012_real` need ImageNet's archives in
    `DATA/downloads/manual`. The label of `imagenet2012_real` is a row with a one for each label
    that fits, none for some images, which its makers leave out of the metric.

    Args:
        name: one of `SETS`.
        split: "train", "validation" or "test".
        data: TFDS' data folder, its usual one if None.
        channels: 3 or 1; the set's own if None.
        window: encoded images that are kept to be shuffled.

    Returns:
        A `Source`.

    Raises:
        ValueError: there is no such set or split, or it cannot be prepared.

    Example:

    >>> open_tfds("cifar10", "train").count
    50000
    """
    if name not in SETS:
        raise ValueError(
            f"{PREFIX} must be followed by one of {', '.join(SETS)}. Received: {name!r}"
        )
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data, file_format="tfrecord")
    prepare(builder)
    splits = builder.info.splits
    found = next((part for part in names_of(split) if part in splits), None)
    if found is None:
        raise ValueError(
            f"`split` must be one of {', '.join(splits)} for {name}. Received: {split!r}"
        )
    features, key = builder.info.features, SETS[name]
    several = key == "real_label"
    classes = features[key].feature if several else features[key]
    return stream_source(
        f"{PREFIX}{name} {found}",
        classes.names,
        splits[found].filepaths,
        splits[found].shard_lengths,
        parser(features, key, classes.num_classes if several else None),
        damaged_record(["image"], [key]),
        channels=channels or features["image"].shape[-1],
        multi_label=several,
        window=window,
    )


def parser(features, key, classes=None):
    """A function that parses a set's records without decoding the image.

    Args:
        features: the set's `tfds.features.FeaturesDict`.
        key: the feature with the label, or with a sequence of labels where `classes` is given.
        classes: optional, how many classes a row of labels has.

    Returns:
        A function of a serialised record: {"image": string (), "label": int64 () or float32
        (classes,)}.
    """
    import tensorflow_datasets as tfds

    partial = tfds.decode.PartialDecoding({"image": True, key: True})
    features = partial.extract_features(features)
    decoders = {"image": tfds.decode.SkipDecoding()}

    def parse(record):
        example = features.deserialize_example(record, decoders=decoders)
        label = example[key]
        if classes is not None:
            label = tf.reduce_max(tf.one_hot(label, classes), axis=0)
            label = tf.maximum(label, 0.0)  # the greatest of nothing is minus infinity
        return {"image": example["image"], "label": label}

    return parse


def is_prepared(name, data=None):
    """Whether a set is on this machine; nothing is fetched to find out.

    Args:
        name: one of `SETS`.
        data: TFDS' data folder, its usual ones if None.

    Example:

    >>> is_prepared("cifar10", "/no/folder")
    False
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.utils import file_utils

    folders = file_utils.list_data_dirs(given_data_dir=data)
    if not any(Path(folder, name).is_dir() for folder in folders):
        return False  # the builder of such a set asks the network about it
    return tfds.builder(name, data_dir=data, file_format="tfrecord").is_prepared()


def prepare(builder):
    """Downloads and prepares what is not there yet.

    Raises:
        ValueError: it could not be done.
    """
    if builder.is_prepared():
        return
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever the set's own script and the network raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{PREFIX}{builder.name} is not in {builder.data_path} and could not be prepared: "
            f"{reason}"
        ) from error
