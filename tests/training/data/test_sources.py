"""Folders, lists and the dispatch: what lies where, what each says of it, what each refuses."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.sources import contents, names, pixel, write
from training.data.sources import PREFIXES, SPECS, open_source, split_spec
from training.data.sources.source import array_source, indexed_source

# Folders


def test_folder_with_splits(tmp_path):
    files = ["train/b/x.png", "train/a/2.JPG", "train/a/deep/1.bmp", "train/b/y.gif", "val/a/3.png"]
    write(tmp_path, [*files, "val/b/4.jpeg"])
    (tmp_path / "train/a/notes.txt").write_text("not an image")
    (tmp_path / "train/a/._2.JPG").write_text("what other systems leave")
    (tmp_path / "train/empty").mkdir()
    source = open_source("folder", "train", data=tmp_path, classes=2)
    assert source.count == 4
    assert source.info == {"class_names": ("a", "b"), "multi_label": False, "channels": 3}
    found = ["train/a/2.JPG", "train/a/deep/1.bmp", "train/b/x.png", "train/b/y.gif"]
    assert names(source, tmp_path) == found
    examples = contents(source)
    assert [e["label"] for e in examples] == [0, 0, 1, 1]
    assert [e["index"] for e in examples] == [0, 1, 2, 3]
    assert [pixel(e) for e in examples] == [1, 2, 0, 3]
    for split in ("validation", "test"):
        held_out = open_source("folder", split, data=tmp_path)
        assert names(held_out, tmp_path) == ["val/a/3.png", "val/b/4.jpeg"]
        assert held_out.info == source.info


def test_folder_without_splits_holds_a_tenth_out(tmp_path):
    write(tmp_path, [f"{c}/{i:02}.png" for c in "ab" for i in range(21)])
    parts = [names(open_source("folder", s, data=tmp_path), tmp_path) for s in ("train", "test")]
    assert parts[1] == [f"{c}/{i}.png" for c in "ab" for i in ("00", "10", "20")]
    assert len(parts[0]) == 36 and not set(parts[0]) & set(parts[1])


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
        ([], "train", "has 0 folders with images; at least two"),
        (["a/1.png", "a/2.png"], "train", r"has 1 folders with images \(a\); at least two"),
        (["train/a/1.png"], "train", r"train has 1 folders with images \(a\)"),
        (["train/a/1.png", "train/b/1.png"], "test", "has a folder for training, but none for"),
        (
            ["train/a/1.png", "train/b/1.png", "val/c/1.png"],
            "validation",
            "val/c is a label outside the 2 classes, which are those of .*train",
        ),
        (["a/1.png", "b/1.png"], "test", "holds no images for 'test'; files ending in .jpg"),
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
    assert source.info["class_names"] == ("n01, or so", "n02") and source.info["channels"] == 1
    assert names(source, tmp_path) == ["1.png", "sub/2.png", "3.png"]
    assert [int(e["label"]) for e in contents(source)] == [1, 0, 1]
    assert [pixel(e) for e in contents(source)] == [0, 1, 2]
    assert open_source("csv", "all", data=tmp_path / "train.csv").count == 3


def test_list_of_several_labels(tmp_path):
    heading = "Image Index,Finding Labels,Follow-up #\n"
    write_list(tmp_path, heading + "1.png,Mass|Hernia,0\nsub/2.png,No Finding,1\n3.png,Mass,0\n")
    write_list(tmp_path, "3.png,Hernia\n1.png,\n", "test.csv")
    source = open_source("csv", "train", data=tmp_path, multi_label=True)
    assert source.info["class_names"] == ("Hernia", "Mass") and source.info["multi_label"]
    assert [e["label"].tolist() for e in contents(source)] == [[1, 1], [0, 0], [0, 1]]
    test = open_source("csv", "test", data=tmp_path, multi_label=True)  # classes as in training
    assert [e["label"].tolist() for e in contents(test)] == [[1, 0], [0, 0]]
    record = next(iter(test.records(None)))
    assert test.example_of(record)["label"].shape == (2,)


@pytest.mark.parametrize(
    "text, message",
    [
        ("1.png,a\n4.png,b\n5.png,b\n", "lists 2 files that are not in .*, the first .* 4.png"),
        ("1.png,a\nnone/3.png,b\n", "lists 1 files that are not in .* none/3.png"),
        ("1.png,a\n3.png\n", "train.csv, line 2, is not `file,label`"),
        ("1.png,a\n3.png,\n", "train.csv, line 2, is not `file,label`"),
        ("file,label\n", "lists no images"),
        ("1.png,a\n3.png,a\n", "has 1 class; at least two"),
    ],
)
def test_list_refuses(tmp_path, text, message):
    write_list(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        open_source("csv", "train", data=tmp_path)


@pytest.mark.parametrize("label, options", [("c", {}), ("a|c", {"multi_label": True})])
def test_a_label_that_the_training_list_has_not(tmp_path, label, options):
    write_list(tmp_path, "1.png,a\n3.png,b\n")
    write_list(tmp_path, f"1.png,{label}\n", "validation.csv")
    with pytest.raises(ValueError, match=r"gives 1\.png the label 'c', which is outside"):
        open_source("csv", "validation", data=tmp_path, **options)


def test_missing_list(tmp_path):
    with pytest.raises(ValueError, match=r"neither a CSV file nor a folder with validation.csv"):
        open_source("csv", "validation", data=write_list(tmp_path, "1.png,a\n"))


# The dispatch


def test_every_place_is_reached():
    assert {"folder", "csv", "tfrecord", "fashion_mnist", "generated"} <= set(SPECS)
    source = open_source("generated", "train", classes=5, size=8, count=7)
    assert (source.count, len(source.info["class_names"])) == (7, 5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("nowhere", "train"), "`data` must be one of folder, csv"),
        (("generated", "dev"), "`split` must be train, validation or test. Received: 'dev'"),
        (("folder", "train"), "--data must say where the images are"),
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


def test_what_data_may_begin_with():
    assert PREFIXES == ("tfds:", "folder:", "csv:", "tfrecord:")
    assert split_spec("folder:/photos") == ("folder", "/photos")
    assert split_spec("tfrecord:a:b") == ("tfrecord", "a:b")
    assert split_spec("tfds:cifar10") == ("tfds:cifar10", None)
    assert split_spec("/photos") == (None, "/photos")
    assert split_spec(None) == (None, None)
    for prefix in PREFIXES:  # what is split off can be opened
        spec, _ = split_spec(f"{prefix}cifar10")
        assert spec in SPECS


# Labels


@pytest.mark.parametrize("wrong", [2, -1])
def test_a_label_outside_the_classes(wrong):
    images = np.zeros((4, 8, 8, 3), "uint8")
    message = f"wrong, image 2 has the label {wrong}, outside the 2 classes."
    with pytest.raises(ValueError, match=f"^{message}$"):
        array_source("wrong", ["a", "b"], images, np.array([0, 1, wrong, 1]))


def test_a_key_costs_no_image():
    def image_of(index):
        raise AssertionError("an image is read")

    source = indexed_source(
        "unread", ["a", "b"], [1, 0], channels=3, image_of=image_of, name_of=tf.strings.as_string
    )
    keys = list(source.records(None).map(source.key_of).as_numpy_iterator())
    assert keys == [{"index": 0, "name": b"0"}, {"index": 1, "name": b"1"}]
