"""Images with masks: where they may lie, that a palette gives its indices, what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.dense_sets import mask_of, put_masks
from tests.support.sources import contents, pixel, write
from training.data.pipeline import evaluation_batches
from training.data.sources.masks import open_masks


def listed(folder, **names):
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    for part, stems in names.items():
        (folder / "ImageSets/Segmentation" / f"{part}.txt").write_text("\n".join(stems))


@pytest.mark.parametrize("palette", [True, False])
@pytest.mark.parametrize(
    "train, val",
    [
        (("images/train", "masks/train"), ("images/val", "masks/val")),
        (("train/images", "train/masks"), ("valid/images", "valid/masks")),
        (
            ("images/training", "annotations/training"),
            ("images/validation", "annotations/validation"),
        ),
    ],
)
def test_layouts(tmp_path, train, val, palette):
    put_masks(tmp_path, *train, 3, palette=palette)
    put_masks(tmp_path, *val, 2, first=5)
    (tmp_path / "classes.txt").write_text("sky\nroad\n\ntree\n")
    source, held_out = (open_masks(tmp_path, split) for split in ("train", "validation"))
    assert (source.count, held_out.count) == (3, 2) and source.info == held_out.info
    assert source.info == {"class_names": ("sky", "road", "tree"), "channels": 3}
    examples = contents(source)
    assert [e["name"].decode() for e in examples] == [
        f"{tmp_path}/{train[0]}/{i}.png" for i in range(3)
    ]
    for number, example in enumerate(examples):
        values = mask_of(number)[1]
        if train[1].startswith("annotations"):
            values = np.where(values % 255 == 0, 255, values - 1)
        assert example["mask"].dtype == np.uint8 and pixel(example) == number
        np.testing.assert_array_equal(example["mask"], values)
    assert open_masks(tmp_path, "test").count == 2


def test_voc(tmp_path):
    put_masks(tmp_path, "JPEGImages", "SegmentationClass", 5)
    write(tmp_path, ["JPEGImages/without.png"])
    listed(tmp_path, train=["0", "3"], val=["4"])
    source = open_masks(tmp_path, "train")
    assert source.info["class_names"] == ("0", "1", "2")
    assert [e["name"].decode()[-5:] for e in contents(source)] == ["0.png", "3.png"]
    assert open_masks(tmp_path, "validation").count == 1
    assert source.notes == (
        f"{tmp_path} has no classes.txt: 3 classes, named by the values of its masks",
    )


@pytest.mark.parametrize(
    "images, masks",
    [("images", "masks"), ("JPEGImages", "SegmentationClass"), ("images/train",) * 2],
)
def test_a_tenth_is_held_out(tmp_path, images, masks):
    masks = masks.replace("images/", "masks/")
    put_masks(tmp_path, images, masks, 21)
    source, held_out = (open_masks(tmp_path, split) for split in ("train", "validation"))
    assert (source.count, held_out.count) == (18, 3) and source.info == held_out.info
    assert open_masks(tmp_path, "all").count == 21 if images == "images" else True


@pytest.mark.parametrize("given, least", [(None, 0), (True, 1)])
def test_zero_is_none(tmp_path, given, least):
    source = open_masks(put_masks(tmp_path, "images", "masks", 3), "all", zero_is_none=given)
    assert source.info["class_names"] == tuple(map(str, range(least, 3)))


def test_names_of_ade20k(tmp_path):
    put_masks(tmp_path, "images/training", "annotations/training", 3)
    table = (
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t9\t9\t1\twall\n2\t0.1\t9\t9\t1\tdoor;gate\n"
    )
    (tmp_path / "objectInfo150.txt").write_text(table)
    assert open_masks(tmp_path, "train").info["class_names"] == ("wall", "door")


def test_sixteen_bits_and_one(tmp_path):
    put_masks(tmp_path, "images", "masks", 2)
    Image.fromarray(mask_of(2)[1].astype("uint16")).save(tmp_path / "masks/0.png")
    Image.fromarray(np.eye(9, 12) > 0).save(tmp_path / "masks/1.png")
    first, second = contents(open_masks(tmp_path, "all"))
    np.testing.assert_array_equal(first["mask"], mask_of(2)[1])
    np.testing.assert_array_equal(second["mask"], np.eye(9, 12))


def batches(source, skip_corrupt=False):
    return evaluation_batches(
        source,
        lambda example, seed: (tf.ensure_shape(example["mask"], (9, 12)), ()),
        (tf.TensorSpec((9, 12), tf.uint8), ()),
        batch_size=2,
        skip_corrupt=skip_corrupt,
    )


@pytest.mark.parametrize("skip_corrupt", [False, True])
@pytest.mark.parametrize("value, classes", [(5, "a\nb\nc"), (2, "a\nb")])
def test_a_value_outside_the_classes(tmp_path, value, classes, skip_corrupt):
    put_masks(tmp_path, "images", "masks", 2)
    mask_of(value)[0].save(tmp_path / "masks/1.png")
    (tmp_path / "classes.txt").write_text(classes)
    message = (
        rf"masks/[01]\.png has the value {value}, outside the {value // 2 + 1} classes; values"
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(batches(open_masks(tmp_path, "all"), skip_corrupt))


def test_a_mask_cut_short(tmp_path):
    put_masks(tmp_path, "images", "masks", 2)
    (tmp_path / "classes.txt").write_text("a\nb\nc")
    source = open_masks(tmp_path, "all")
    file = tmp_path / "masks/1.png"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"masks/1\.png cannot be read as a mas"
    ):
        list(batches(source))


def damage(folder, file, change):
    path = folder / file
    if isinstance(change, np.ndarray):
        Image.fromarray(change).save(path)
    elif change is None:
        path.unlink()
    else:
        path.write_bytes(change)


@pytest.mark.parametrize(
    "file, change, message",
    [
        ("masks/1.png", np.zeros((12, 9), "uint8"), r"masks/1\.png has 9x12 pixels, but its image"),
        ("masks/1.png", np.zeros((9, 12, 3), "uint8"), r"is a PNG of colours \(RGB\); a mask must"),
        ("masks/1.png", None, r"1 of the 2 images of .* have no mask, .* first of them is 1\.png"),
        ("masks/1.png", b"", r"masks/1\.png cannot be read as a mask"),
        ("images/1.jpg", np.zeros((9, 12), "uint8"), r"two images of one name, 1\.jpg and 1\.png"),
        ("classes.txt", b"a\nb\na", "has 'a' twice; 1 to 255 classes"),
        ("classes.txt", b"\n", "has 0 classes; 1 to 255"),
        ("classes.txt", "\n".join(map(str, range(256))).encode(), "has 256 classes; 1 to 255"),
        ("classes.txt", b"\xff\xfe\xff", "must be text in UTF-8"),
    ],
)
def test_refuses(tmp_path, file, change, message):
    damage(put_masks(tmp_path, "images", "masks"), file, change)
    with pytest.raises(ValueError, match=message) as caught:
        open_masks(tmp_path, "all")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 600


def test_refuses_places(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a folder; images/"):
        open_masks(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="has no images with masks for 'train'; images/"):
        open_masks(tmp_path, "train")
    put_masks(tmp_path, "JPEGImages", "SegmentationClass")
    listed(tmp_path, train=["0", "9"], val=["1", "1"], test=[])
    for split, message in (
        ("train", r"lists 1 images that are not in .*, the first of them 9"),
        ("validation", r"val\.txt lists 1 twice"),
        ("test", r"test\.txt lists no images"),
    ):
        with pytest.raises(ValueError, match=message):
            open_masks(tmp_path, split)


def test_masks_of_no_class(tmp_path):
    put_masks(tmp_path, "images", "masks", 1)
    damage(tmp_path, "masks/0.png", np.full((9, 12), 255, "uint8"))
    with pytest.raises(ValueError, match="holds no class: all values are 0 or 255"):
        open_masks(tmp_path, "all", zero_is_none=True)


def test_what_is_passed_over(tmp_path):
    put_masks(tmp_path, "images", "masks", 3)
    (tmp_path / "images/2.png").unlink()
    (tmp_path / "images/notes.txt").write_text("no image")
    notes = open_masks(tmp_path, "all").notes
    assert f"passed over: 1 masks in {tmp_path}/masks that belong to no image" in notes
    assert any("1 .txt" in note for note in notes)
