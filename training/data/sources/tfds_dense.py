"""Sets of TensorFlow Datasets with boxes or masks: `coco/2017` and `scene_parse150`."""

import functools
from pathlib import Path

import tensorflow as tf

from keras_regionvit.images.headers import image_shape
from training.data.sources.dense import detection_info, segmentation_info
from training.data.sources.source import Source
from training.data.sources.splits import names_of
from training.data.sources.tfds_sets import PREFIX, prepare
from training.data.sources.tfrecords import WINDOW, damaged_record, record_stream
from training.data.sources.words import class_summary

COCO = "coco/2017"
SCENES = "scene_parse150"
DENSE_SETS = (COCO, SCENES)
# COCO numbers its 80 categories from 1 and leaves some numbers out; TFDS numbers them from 0.
_LEFT_OUT = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(number for number in range(1, 91) if number not in _LEFT_OUT)
COCO_MOST = 100  # objects; reading fails on an image with more
SCENE_CLASSES = 150
NONE = 255  # the value of pixels of no class
INSTANCES = (
    f"{PREFIX}{SCENES} holds ADE20K's masks of instances, whose classes are numbered otherwise "
    "than the 150 of semantic segmentation; for those give --data the folder ADEChallengeData2016"
)


def open_tfds_detection(split, *, data=None, window=WINDOW):
    """COCO 2017 from TensorFlow Datasets, which prepares it if it has not yet.

    Args:
        split: "train", "validation" or "test"; the last two mean the validation part, as COCO's
            own test part names no objects.
        data: TFDS' data folder, its usual one if None.
        window: encoded images that are kept to be shuffled.

    Returns:
        A `Source`; its examples are as those of `open_coco`. Boxes of no area are left out.

    Raises:
        ValueError: it cannot be prepared.

    Example:

    >>> open_tfds_detection("validation").count
    5000
    """
    part = "train" if "train" in names_of(split) else "validation"
    features, count, records = _stream(COCO, part, data, window)
    class_names = features["objects"].feature["label"].names
    return _source(
        f"{PREFIX}{COCO} {part}",
        detection_info(class_names, COCO_MOST, COCO_IDS),
        count,
        records,
        functools.partial(_detection, _parser(features, ("image",), "objects")),
    )


def open_tfds_segmentation(split, *, data=None, window=WINDOW):
    """`scene_parse150` from TensorFlow Datasets, which prepares it if it has not yet.

    TFDS takes ADE20K's masks of instances: the first channel is a class from 1, 0 stands for none.
    Classes are named by their numbers there; they are not those of the semantic masks.

    Args:
        split: "train", "validation" or "test"; the last two mean the same.
        data: TFDS' data folder, its usual one if None.
        window: encoded images that are kept to be shuffled.

    Returns:
        A `Source`; its examples are as those of `open_masks`.

    Raises:
        ValueError: it cannot be prepared.

    Example:

    >>> open_tfds_segmentation("train").info["class_names"][0]
    '1'
    """
    part = "train" if "train" in names_of(split) else "test"
    features, count, records = _stream(SCENES, part, data, window)
    return _source(
        f"{PREFIX}{SCENES} {part}",
        segmentation_info(map(str, range(1, SCENE_CLASSES + 1))),
        count,
        records,
        functools.partial(_segmentation, _parser(features, ("image", "annotation"))),
        notes=(INSTANCES,),
    )


def _stream(name, part, data, window):
    """`(features, count, records)` of a part."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data, file_format="tfrecord")
    prepare(builder)
    split = builder.info.splits[part]
    images = [key for key in ("image", "annotation") if key in builder.info.features]
    damaged = damaged_record(images, [])
    counts = split.shard_lengths
    records = record_stream([Path(p) for p in split.filepaths], counts, damaged, window)
    return builder.info.features, sum(counts), records


def _source(name, info, count, records, example_of, notes=()):
    return Source(
        name=name,
        info=info,
        count=count,
        records=records,
        example_of=lambda record: example_of(record["record"]),
        key_of=lambda record: {"index": record["index"], "name": record["name"]},
        summary=class_summary(info["class_names"]),
        notes=notes,
    )


def _parser(features, images, *others):
    """A function that parses those features of a record, without decoding images."""
    import tensorflow_datasets as tfds

    partial = tfds.decode.PartialDecoding({key: True for key in (*images, *others)})
    wanted = partial.extract_features(features)
    decoders = {key: tfds.decode.SkipDecoding() for key in images}
    return lambda record: wanted.deserialize_example(record, decoders=decoders)


def _detection(parse, record):
    example = parse(record)
    objects, encoded = example["objects"], example["image"]
    rows, columns = tf.unstack(tf.cast(image_shape(encoded), tf.float32))
    # TFDS gives ymin, xmin, ymax, xmax as shares of the image
    y0, x0, y1, x1 = tf.unstack(objects["bbox"], axis=-1)
    boxes = tf.stack([x0 * columns, y0 * rows, x1 * columns, y1 * rows], axis=-1)
    kept = (x1 > x0) & (y1 > y0)
    few = tf.reduce_sum(tf.cast(kept, tf.int32)) <= COCO_MOST
    with tf.control_dependencies([tf.debugging.Assert(few, ["The image has too many objects."])]):
        boxes = tf.identity(boxes)
    return {
        "image": encoded,
        "boxes": tf.ensure_shape(boxes[kept], (None, 4)),
        "labels": objects["label"][kept],
        "crowd": objects["is_crowd"][kept],
        "area": tf.cast(objects["area"], tf.float32)[kept],
    }


def _segmentation(parse, record):
    example = parse(record)
    mask = tf.cast(tf.io.decode_png(example["annotation"], channels=3)[..., 0], tf.int32)
    mask = tf.where((mask == 0) | (mask > SCENE_CLASSES), NONE, mask - 1)
    return {"image": example["image"], "mask": tf.cast(mask, tf.uint8)}
