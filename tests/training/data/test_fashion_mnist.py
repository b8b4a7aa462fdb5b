"""Fashion-MNIST: the part in the repository, and the whole from its makers' files."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf

from tests.support.sources import contents
from training.data.sources import fashion_mnist, open_source


@pytest.fixture(scope="module")
def splits():
    return fashion_mnist.load()


def test_data(splits):
    training, held_out = splits
    for split, count in ((training, 5000), (held_out, 1000)):
        assert split.images.shape == (count, 28, 28, 1) and split.images.dtype == np.uint8
        assert split.labels.shape == (count,)
        np.testing.assert_array_equal(np.bincount(split.labels), [count // 10] * 10)
        assert split.images.min() == 0 and split.images.max() == 255
    # light on black, as the published mean of 72.9 of 255 says
    assert abs(training.images.mean() - 72.94) < 1
    assert not {x.tobytes() for x in training.images} & {x.tobytes() for x in held_out.images}


def test_labels_mean_what_the_names_say(splits):
    """Trousers are tall and narrow, sneakers low and wide, bags fill the image."""
    training, _ = splits
    rows = {
        name: (training.images[training.labels == i, :, :, 0] > 25).any(axis=2).sum(axis=1).mean()
        for i, name in enumerate(fashion_mnist.CLASS_NAMES)
    }
    columns = {
        name: (training.images[training.labels == i, :, :, 0] > 25).any(axis=1).sum(axis=1).mean()
        for i, name in enumerate(fashion_mnist.CLASS_NAMES)
    }
    assert rows["Trouser"] > 25 and columns["Trouser"] < 15
    assert rows["Sneaker"] < 14 and columns["Sneaker"] > 25
    assert rows["Ankle boot"] > rows["Sandal"] > rows["Sneaker"]
    assert columns["Dress"] < columns["Shirt"]


def test_licence_lies_beside_the_data():
    text = (fashion_mnist.FILE.parent / "LICENSE-fashion-mnist.txt").read_text("utf-8")
    assert "MIT" in text and "2017 Zalando SE" in text


def test_first_of_each_class(splits):
    _, held_out = splits
    chosen = fashion_mnist.first_of_each_class(held_out, 23)
    assert len(set(chosen.tolist())) == 23
    np.testing.assert_array_equal(held_out.labels[chosen], [*range(10), *range(10), 0, 1, 2])
    for label in range(10):
        first = int(np.flatnonzero(held_out.labels == label)[0])
        assert chosen[label] == first


def test_the_set_in_the_repository():
    source = open_source("fashion_mnist_6k", "train", channels=3)
    assert (source.count, source.info["channels"]) == (5000, 3)
    assert open_source("fashion_mnist_6k", "validation").count == 1000
    images, labels = fashion_mnist.load()[0]
    example = source.example_of(tf.constant(0))
    np.testing.assert_array_equal(example["image"], np.repeat(images[0], 3, -1))
    assert int(example["label"]) == labels[0]


# The files of its makers


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
    assert source.info["class_names"] == fashion_mnist.CLASS_NAMES
    assert source.info["channels"] == 1
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
