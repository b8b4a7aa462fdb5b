"""Sources: what lies where, what each says of it, and what each refuses."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.decode import decode_image
from training.data.inputs import open_split
from training.data.pipeline import evaluation_batches, training_batches
from training.data.sources import SPECS, fashion_mnist, open_source, tfds_sets
from training.data.sources.tfrecords import count_records, open_tfrecord
from training.recipes import catalogue as recipes


def picture(number):
    return Image.fromarray(np.full((9, 12, 3), number, "uint8"))


def write(folder, files):
    """Writes pictures whose pixels all have one value; the value goes by the order of `files`."""
    for number, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(folder / file)
    return folder


def contents(source, seed=None):
    return list(source.examples(seed).as_numpy_iterator())


def names(source, folder):
    return [e["name"].decode().removeprefix(f"{folder}/") for e in contents(source)]


def pixel(example):
    return int(decode_image(example["image"])[0, 0, 0])


# Folders


def test_folder_with_splits(tmp_path):
    files = ["train/b/x.png", "train/a/2.JPG", "train/a/deep/1.bmp", "train/b/y.gif", "val/a/3.png"]
    write(tmp_path, [*files, "val/b/4.jpeg"])
    (tmp_path / "train/a/notes.txt").write_text("not a picture")
    (tmp_path / "train/a/._2.JPG").write_text("what other systems leave")
    (tmp_path / "train/empty").mkdir()
    source = open_source("folder", "train", data=tmp_path, classes=2)
    assert source.class_names == ("a", "b") and source.count == 4 and source.channels == 3
    assert not source.multi_label
    found = ["train/a/2.JPG", "train/a/deep/1.bmp", "train/b/x.png", "train/b/y.gif"]
    assert names(source, tmp_path) == found
    examples = contents(source)
    assert [e["label"] for e in examples] == [0, 0, 1, 1]
    assert [e["index"] for e in examples] == [0, 1, 2, 3]
    assert [pixel(e) for e in examples] == [1, 2, 0, 3]
    for split in ("validation", "test"):
        held_out = open_source("folder", split, data=tmp_path)
        assert names(held_out, tmp_path) == ["val/a/3.png", "val/b/4.jpeg"]
        assert held_out.class_names == ("a", "b")


def test_folder_without_splits_holds_a_tenth_out(tmp_path):
    write(tmp_path, [f"{c}/{i:02}.png" for c in "ab" for i in range(21)])
    parts = [names(open_source("folder", s, data=tmp_path), tmp_path) for s in ("train", "test")]
    assert parts[1] == [f"{c}/{i}.png" for c in "ab" for i in ("00", "10", "20")]
    assert len(parts[0]) == 36 and not set(parts[0]) & set(parts[1])


def test_order_of_classes_can_be_given(tmp_path):
    write(tmp_path, ["train/a/1.png", "train/b/2.png"])
    source = open_source("folder", "train", data=tmp_path, class_names=["b", "x", "a"])
    assert [e["label"] for e in contents(source)] == [2, 0]


def test_epochs_permute(tmp_path):
    write(tmp_path, [f"train/{c}/{i}.png" for c in "ab" for i in range(5)])
    source = open_source("folder", "train", data=tmp_path)
    orders = [[int(e["index"]) for e in contents(source, [0, epoch])] for epoch in range(4)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert orders[2] == [int(e["index"]) for e in contents(source, [0, 2])]


@pytest.mark.parametrize(
    "files, split, message",
    [
        ([], "train", "has 0 folders with pictures; at least two"),
        (["a/1.png", "a/2.png"], "train", r"has 1 folders with pictures \(a\); at least two"),
        (["train/a/1.png"], "train", r"train has 1 folders with pictures \(a\)"),
        (["train/a/1.png", "train/b/1.png"], "test", "has a folder for training, but none for"),
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png"],
            "validation",
            "val/c is a label outside the 2 classes, which are those of .*train",
        ),
        (["a/1.png", "b/1.png"], "train", "holds no pictures for 'train'; files ending in .jpg"),
    ],
)
def test_folder_refuses(tmp_path, files, split, message):
    write(tmp_path, files)
    with pytest.raises(ValueError, match=message) as caught:
        open_source("folder", split, data=tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        open_source("folder", "train", data=tmp_path / "nowhere")


# Lists


def write_list(folder, text, file="train.csv"):
    write(folder, ["1.png", "sub/2.png", "3.png"])
    (folder / file).write_text(text, "utf-8")
    return folder


def test_list(tmp_path):
    write_list(tmp_path, '1.png,n02,x\n\nsub/2.png,"n01, or so"\n3.png,n02\n')
    source = open_source("csv", "train", data=tmp_path, classes=2, channels=1)
    assert source.class_names == ("n01, or so", "n02") and source.channels == 1
    assert names(source, tmp_path) == ["1.png", "sub/2.png", "3.png"]
    assert [int(e["label"]) for e in contents(source)] == [1, 0, 1]
    assert [pixel(e) for e in contents(source)] == [0, 1, 2]
    direct = open_source("csv", "train", data=tmp_path / "train.csv", images=tmp_path)
    assert direct.count == 3


def test_list_of_several_labels(tmp_path):
    heading = "Image Index,Finding Labels,Follow-up #\n"
    write_list(tmp_path, heading + "1.png,Mass|Hernia,0\nsub/2.png,No Finding,1\n3.png,Mass,0\n")
    write_list(tmp_path, "3.png,Hernia\n1.png,\n", "test.csv")
    source = open_source("csv", "train", data=tmp_path, multi_label=True)
    assert source.class_names == ("Hernia", "Mass") and source.multi_label
    assert [e["label"].tolist() for e in contents(source)] == [[1, 1], [0, 0], [0, 1]]
    test = open_source("csv", "test", data=tmp_path, multi_label=True)  # classes as in training
    assert [e["label"].tolist() for e in contents(test)] == [[1, 0], [0, 0]]
    batches = list(evaluation_batches(test, image_size=8, batch_size=2))
    np.testing.assert_array_equal(batches[0][1], [[1, 0], [0, 0]])


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("1.png,a\n4.png,b\n5.png,b\n", {}, "lists 2 files that are not in .*, the first .* 4.png"),
        ("1.png,a\nnone/3.png,b\n", {}, "lists 1 files that are not in .* none/3.png"),
        ("1.png,a\n3.png\n", {}, "train.csv, line 2, is not `file,label`"),
        ("1.png,a\n3.png,\n", {}, "train.csv, line 2, is not `file,label`"),
        ("file,label\n", {}, "lists no pictures"),
        ("1.png,a\n3.png,a\n", {}, "has 1 class; at least two"),
        (
            "1.png,a\n3.png,c\n",
            {"class_names": ["a", "b"]},
            "3.png the label 'c', which is outside",
        ),
        ("1.png,a|x\n", {"class_names": ["a", "b"], "multi_label": True}, "the label 'x'"),
    ],
)
def test_list_refuses(tmp_path, text, options, message):
    write_list(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        open_source("csv", "train", data=tmp_path, **options)


def test_missing_list(tmp_path):
    with pytest.raises(ValueError, match=r"neither a CSV file nor a folder with validation.csv"):
        open_source("csv", "validation", data=write_list(tmp_path, "1.png,a\n"))


# TFRecord


def write_records(folder, count=20, files=3, label=None):
    """`count` pictures in `files` files; picture i has the value i and the label i % 4."""
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


def test_records(tmp_path):
    source = open_source("tfrecord", "train", data=write_records(tmp_path), classes=4)
    assert source.count == 20 and source.class_names == ("0", "1", "2", "3")
    examples = contents(source)
    assert [pixel(e) for e in examples] == list(range(20))
    assert [int(e["label"]) for e in examples] == [i % 4 for i in range(20)]
    assert examples[7]["name"].decode() == f"{tmp_path}/train-00001-of-00003, record 1"
    assert len({int(e["index"]) for e in examples}) == 20


def test_records_are_shuffled_by_the_seed(tmp_path):
    source = open_tfrecord(write_records(tmp_path), "train", classes=4, window=7)
    natural = {int(e["index"]): pixel(e) for e in contents(source)}
    orders = []
    for seed in ([0, 1], [0, 1], [0, 2]):
        examples = contents(source, seed)
        assert all(natural[int(e["index"])] == pixel(e) for e in examples)
        orders.append([pixel(e) for e in examples])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(20)) != orders[0]


def test_records_in_the_pipeline(tmp_path):
    source = open_tfrecord(write_records(tmp_path), "train", classes=4, window=7)
    options = {
        "image_size": 8,
        "batch_size": 6,
        "epochs": 2,
        "seed": 1,
        "repeats": 3,
        "replicas": 3,
    }
    whole = list(training_batches(source, **options).as_numpy_iterator())
    tail = list(training_batches(source, start_step=4, **options).as_numpy_iterator())
    assert len(whole) == 6
    for (images, labels), (there, theirs) in zip(whole[4:], tail, strict=True):
        np.testing.assert_array_equal(images, there)
        np.testing.assert_array_equal(labels, theirs)
    parts = [
        training_batches(source, shard=(w, 3), **options).as_numpy_iterator() for w in range(3)
    ]
    for batch in whole:
        joined = np.concatenate([next(part)[0] for part in parts])
        np.testing.assert_array_equal(batch[0], joined)


def test_records_refused(tmp_path):
    folder = write_records(tmp_path / "good")
    with pytest.raises(ValueError, match="`classes` must be given"):
        open_source("tfrecord", "train", data=folder)
    with pytest.raises(ValueError, match="has no files that begin with 'validation'"):
        open_source("tfrecord", "validation", data=folder, classes=4)
    source = open_source("tfrecord", "train", data=folder, classes=3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="record 3 has the label 3, outside"):
        list(evaluation_batches(source, image_size=8, batch_size=4))
    path = folder / "train-00001-of-00003"
    for length in (-1, 9, 3):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(ValueError, match="train-00001-of-00003 is cut short"):
            open_source("tfrecord", "train", data=folder, classes=4)
    path.write_bytes(gzip.compress(b"x" * 99))
    with pytest.raises(ValueError, match="cut short, compressed or no TFRecord"):
        count_records(path)


# Fashion-MNIST


def idx(array):
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, count=12, compress=True):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype="uint8")
    labels = (np.arange(count) % 10).astype("uint8")
    for stem in ("train", "t10k"):
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx(array)
            path = folder / f"{stem}-{name}-ubyte{'.gz' if compress else ''}"
            path.write_bytes(gzip.compress(data) if compress else data)
    return images, labels


@pytest.mark.parametrize("compress", [True, False])
def test_idx(tmp_path, compress):
    images, labels = write_idx(tmp_path, compress=compress)
    source = open_source("fashion_mnist", "test", data=tmp_path, classes=10)
    assert source.class_names == fashion_mnist.CLASS_NAMES and source.channels == 1
    examples = contents(source)
    np.testing.assert_array_equal([e["image"][..., 0] for e in examples], images)
    np.testing.assert_array_equal([e["label"] for e in examples], labels)
    colour = contents(open_source("fashion_mnist", "train", data=tmp_path, channels=3))
    np.testing.assert_array_equal(colour[5]["image"], np.stack([images[5]] * 3, -1))


def test_idx_refused(tmp_path):
    with pytest.raises(ValueError, match=r"neither train-images-idx3-ubyte nor .*\.gz"):
        open_source("fashion_mnist", "train", data=tmp_path)
    _, labels = write_idx(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for data in (whole[:-9], b"", gzip.compress(gzip.decompress(whole)[:-1]), gzip.compress(b"ab")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"images-idx3-ubyte.gz is not a whole IDX file"):
            open_source("fashion_mnist", "train", data=tmp_path)
    path.write_bytes(gzip.compress(idx(labels)))
    with pytest.raises(ValueError, match="of 3 axes: its first bytes are 0x801"):
        open_source("fashion_mnist", "train", data=tmp_path)
    path.write_bytes(whole)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(labels + 1)))
    with pytest.raises(ValueError, match="has the label 10, outside the 10 classes"):
        open_source("fashion_mnist", "train", data=tmp_path)
    path.write_bytes(gzip.compress(idx(labels[:5])))
    with pytest.raises(ValueError, match="has 5 labels for 12 images"):
        open_source("fashion_mnist", "train", data=tmp_path)


def test_the_set_in_the_repository():
    source = open_source("fashion_mnist_6k", "train", channels=3)
    assert (source.count, source.channels) == (5000, 3)
    assert open_source("fashion_mnist_6k", "validation").count == 1000
    images, labels = fashion_mnist.load()[0]
    example = next(iter(source.examples()))
    np.testing.assert_array_equal(example["image"], np.repeat(images[0], 3, -1))
    assert int(example["label"]) == labels[0]


# TensorFlow Datasets: the sets' own classes, prepared from pictures made here


def builder_of(name, folder, monkeypatch, examples):
    """Prepares a small set with the name and the features of a real one."""
    import tensorflow_datasets as tfds

    kind = type(tfds.builder(name, data_dir=str(folder)))
    monkeypatch.setattr(
        kind, "_split_generators", lambda self, *_: {s: iter(e) for s, e in examples.items()}
    )
    builder = kind(data_dir=str(folder))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=2, try_download_gcs=False)
    )
    return folder


def grey(i):
    return np.full((28, 28, 1), i, "uint8")


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds(tmp_path, monkeypatch):
    made = {
        split: [(i, {"image": grey(i), "label": i % 10}) for i in range(count)]
        for split, count in (("train", 15), ("test", 6))
    }
    data = builder_of("fashion_mnist", tmp_path, monkeypatch, made)
    for spec in ("tfds:fashion_mnist", "tfds:fashion_mnist"):
        source = open_source(spec, "train", data=data, classes=10)
        assert (source.count, source.channels, len(source.class_names)) == (15, 1, 10)
        examples = contents(source)
        assert sorted(pixel(e) for e in examples) == list(range(15))
        assert all(pixel(e) % 10 == e["label"] for e in examples)
    held_out = open_source(
        "tfds:fashion_mnist", "validation", data=data
    )  # the set has a test split
    assert held_out.count == 6 and held_out.name == "tfds:fashion_mnist test"
    with pytest.raises(ValueError, match="`classes` must be 10, as many as tfds:fashion_mnist"):
        open_source("tfds:fashion_mnist", "train", data=data, classes=5)
    batches = training_batches(held_out, image_size=28, batch_size=3, epochs=2, seed=0, crop="none")
    for images, labels in batches:
        np.testing.assert_array_equal(labels.numpy().argmax(1), images[:, 0, 0, 0])


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds_real_labels(tmp_path, monkeypatch):
    sets = [[3], [], [7, 999]]
    made = {
        "validation": [
            (
                i,
                {
                    "image": np.zeros((5, 6, 3), "uint8"),
                    "original_label": 3,
                    "real_label": labels,
                    "file_name": f"{i}.JPEG",
                },
            )
            for i, labels in enumerate(sets)
        ]
    }
    data = builder_of("imagenet2012_real", tmp_path, monkeypatch, made)
    source = open_source("tfds:imagenet2012_real", "test", data=data, classes=1000)
    assert source.multi_label and source.count == 3
    found = [np.flatnonzero(e["label"]).tolist() for e in contents(source)]
    assert sorted(found) == sorted(sets)
    recipe = recipes.load("imagenet1k").RECIPE.with_overrides({"data": "tfds:imagenet2012_real"})
    assert open_split(recipe, "validation", data, any_label=True).count == 3  # to evaluate
    with pytest.raises(ValueError, match="`multi_label` must be True"):
        open_split(recipe, "validation", data)  # not to learn from


def test_tfds_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"`data` must be one of folder, csv.*Received: 'tfds:mnist'"
    ):
        open_source("tfds:mnist", "train")
    with pytest.raises(ValueError, match=r"tfds: must be followed by one of imagenet2012, "):
        tfds_sets.open_tfds("mnist", "train")


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds_without_the_archives(tmp_path):
    with pytest.raises(
        ValueError, match=r"tfds:imagenet2012 is not in .* and could not be prepared"
    ):
        open_source("tfds:imagenet2012", "train", data=tmp_path)


# The dispatch


def test_every_place_is_reached():
    assert {"folder", "csv", "tfrecord", "fashion_mnist", "generated"} <= set(SPECS)
    source = open_source("generated", "train", classes=5, size=8, count=7)
    assert (source.count, len(source.class_names)) == (7, 5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nowhere", "train"), "`data` must be one of folder, csv"),
        (("generated", "dev"), "`split` must be train, validation or test. Received: 'dev'"),
        (("folder", "train"), "--data must say where the pictures are"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_source(*arguments)


def test_number_of_classes(tmp_path):
    write(tmp_path, ["train/a/1.png", "train/b/2.png"])
    with pytest.raises(
        ValueError, match=r"`classes` must be 2, as many as .*train has. Received: 3"
    ):
        open_source("folder", "train", data=tmp_path, classes=3)


@pytest.mark.parametrize("option", [{"classes": 1}, {"size": 4}, {"count": -1}])
def test_generated_refuses(option):
    with pytest.raises(ValueError, match="must be at least"):
        open_source("generated", "train", **option)
