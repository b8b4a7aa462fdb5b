"""What tests of the sources share: small data sets, and what a source says of them."""

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.decode import decode_image


def write(folder, files):
    """Writes images whose pixels all have one value; the value goes by the order of `files`."""
    for number, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 12, 3), number, "uint8")).save(folder / file)
    return folder


def contents(source, seed=None):
    """Examples with their keys, of all records."""
    both = source.records(seed).map(
        lambda record: source.example_of(record) | source.key_of(record)
    )
    return list(both.as_numpy_iterator())


def names(source, folder):
    return [e["name"].decode().removeprefix(f"{folder}/") for e in contents(source)]


def pixel(example):
    return int(decode_image(example["image"])[0, 0, 0])


def write_records(folder, count=20, files=3, label=None):
    """`count` images in `files` files; image i has the value i and the label i % 4."""
    folder.mkdir(exist_ok=True)
    bounds = np.linspace(0, count, files + 1).astype(int)
    for number in range(files):
        path = str(folder / f"train-{number:05}-of-{files:05}")
        with tf.io.TFRecordWriter(path) as writer:
            for i in range(bounds[number], bounds[number + 1]):
                data = tf.io.encode_png(np.full((8, 8, 3), i, "uint8")).numpy()
                feature = {
                    "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data])),
                    "image/class/label": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[i % 4 if label is None else label])
                    ),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    return folder


def prepared_set(name, folder, monkeypatch, examples):
    """Prepares a small set with the name and the features of a real one."""
    import tensorflow_datasets as tfds

    kind = type(tfds.builder(name, data_dir=str(folder)))
    monkeypatch.setattr(
        kind, "_split_generators", lambda self, *_: {s: iter(e) for s, e in examples.items()}
    )
    builder = kind(data_dir=str(folder), config=name.partition("/")[2] or None)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=2, try_download_gcs=False)
    )
    return folder
