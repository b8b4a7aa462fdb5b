"""Sets that TensorFlow Datasets knows, read from the TFRecord files that it prepares."""

import tensorflow as tf

from training.data.sources.tfrecords import WINDOW, stream_source

# ReaL gives a picture of ImageNet's validation split every label that fits it, or none.
SETS = {
    "imagenet2012": "label",
    "imagenet2012_real": "real_label",
    "imagenet_v2": "label",
    "cifar10": "label",
    "cifar100": "label",
    "oxford_iiit_pet": "label",
    "fashion_mnist": "label",
}
SPLITS = {"validation": ("validation", "test"), "test": ("test", "validation")}


def open_tfds(name, split, *, data=None, channels=None, window=WINDOW):
    """A set of TensorFlow Datasets, which prepares it if it has not yet.

    `imagenet2012` and `imagenet2012_real` need ImageNet's archives in
    `DATA/downloads/manual`. The label of `imagenet2012_real` is a row with a one for each label
    that fits, none for some pictures, which its makers leave out of the figure.

    Args:
        name: one of `SETS`.
        split: "train", "validation" or "test"; of the latter two whichever the set has.
        data: TFDS' data folder, its usual one if None.
        channels: 3 or 1; the set's own if None.
        window: encoded pictures that are kept to be shuffled.

    Returns:
        A `Source`.

    Raises:
        ValueError: there is no such set or split, or it cannot be prepared.

    Example:

    >>> open_tfds("cifar10", "train").count
    50000
    """
    if name not in SETS:
        raise ValueError(f"tfds: must be followed by one of {', '.join(SETS)}. Received: {name!r}")
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data, file_format="tfrecord")
    prepare(builder)
    found = next((s for s in SPLITS.get(split, (split,)) if s in builder.info.splits), None)
    if found is None:
        raise ValueError(
            f"`split` must be one of {', '.join(builder.info.splits)} for {name}. "
            f"Received: {split!r}"
        )
    info, features, key = builder.info.splits[found], builder.info.features, SETS[name]
    classes = features[key].feature if key == "real_label" else features[key]
    partial = tfds.decode.PartialDecoding({"image": True, key: True})
    features = partial.extract_features(features)
    decoders = {"image": tfds.decode.SkipDecoding()}

    def parse(record):
        example = features.deserialize_example(record, decoders=decoders)
        label = example[key]
        if key == "real_label":
            label = tf.reduce_max(tf.one_hot(label, classes.num_classes), axis=0)
            label = tf.maximum(label, 0.0)  # the greatest of nothing is minus infinity
        return {"image": example["image"], "label": label}

    return stream_source(
        f"tfds:{name} {found}",
        classes.names,
        info.filepaths,
        info.num_examples,
        parse,
        channels=channels or features["image"].shape[-1],
        multi_label=key == "real_label",
        window=window,
    )


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
            f"tfds:{builder.name} is not in {builder.data_path} and could not be prepared: {reason}"
        ) from error
