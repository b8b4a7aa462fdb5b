"""COCO's JSON: where it may lie, what of it is kept, cut, counted or refused."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.dense_sets import CATEGORIES, coco, coco_box, put_coco
from tests.support.sources import contents, pixel
from training.data.pipeline import evaluation_batches
from training.data.sources.coco_json import open_coco


@pytest.mark.parametrize(
    "train, its_images, val, val_images",
    [
        (
            "annotations/instances_train2017.json",
            "train2017/",
            "annotations/instances_val2017.json",
            "val2017/",
        ),
        (
            "annotations/instances_train.json",
            "images/train/",
            "annotations/instances_val.json",
            "images/val/",
        ),
        ("train.json", "images/", "val.json", "images/"),
        ("train.json", "train/", "val.json", "val/"),
        ("annotations/train.json", "", "annotations/val.json", ""),
        (
            "train/_annotations.coco.json",
            "train/",
            "valid/_annotations.coco.json",
            "valid/",
        ),
    ],
)
def test_layouts(tmp_path, train, its_images, val, val_images):
    put_coco(tmp_path, train, coco(3, [coco_box(), coco_box(12)]), its_images, 3)
    put_coco(tmp_path, val, coco(2, [coco_box(11)]), val_images)
    (tmp_path / "annotations").mkdir(exist_ok=True)
    (tmp_path / "annotations/captions_train2017.json").write_text("{}")
    source, held_out = (open_coco(tmp_path, split) for split in ("train", "validation"))
    assert (source.count, held_out.count) == (3, 2)
    examples = contents(source)
    files = [e["name"].decode() for e in examples]
    assert files == [f"{tmp_path}/{its_images}{i}.png" for i in range(3)]
    first = held_out.key_of(tf.constant(0, tf.int64))["name"]
    assert first.numpy().decode() == f"{tmp_path}/{val_images}0.png"
    assert [pixel(e) for e in examples] == [0, 1, 2]
    assert [len(e["boxes"]) for e in examples] == [1, 0, 1]
    assert open_coco(tmp_path, "test").name == held_out.name
    with pytest.raises(ValueError, match="no JSON for 'all'"):
        open_coco(tmp_path, "all")


@pytest.mark.parametrize(
    "file", ["annotations.json", "_annotations.coco.json", "annotations/x.json", "train.json"]
)
def test_a_tenth_of_one_file_is_held_out(tmp_path, file):
    put_coco(
        tmp_path,
        file,
        coco(21, [coco_box(10 + i) for i in range(21)] + [coco_box(20)]),
        "images/",
        21,
    )
    held_out = open_coco(tmp_path, "validation")
    examples = contents(held_out)
    assert [e["name"].decode()[-6:] for e in examples] == ["/0.png", "10.png", "20.png"]
    assert [len(e["boxes"]) for e in examples] == [1, 2, 1]
    source = open_coco(tmp_path, "train")
    assert source.count == 18 and source.info == held_out.info
    assert source.info["max_objects"] == 2
    assert any("a tenth of train.json is held out" in n for n in held_out.notes) == (
        file == "train.json"
    )
    assert open_coco(tmp_path / file, "all", images=tmp_path / "images").count == 21


def test_what_an_example_holds(tmp_path):
    annotations = [
        coco_box(id=0, area=5.5),
        coco_box(bbox=(0, 0, 12, 9), category_id=2, iscrowd=1, segmentation={"counts": []}),
        coco_box(bbox=(-2, 1, 4, 20), area=0),
        coco_box(bbox=(1, 1, 0, 5)),
        coco_box(bbox=(5, 5, -2, 3)),
        coco_box(bbox=(12, 0, 3, 3)),
        coco_box(bbox=(1e300, 1, 1e300, 1)),
        coco_box(99),
        coco_box(None),
    ]
    put_coco(tmp_path, "annotations.json", coco(2, annotations))
    source = open_coco(tmp_path, "all")
    assert source.info == {
        "class_names": ("cat", "dog"),
        "channels": 3,
        "max_objects": 3,
        "category_ids": (2, 7),
    }
    first, second = contents(source)
    np.testing.assert_array_equal(first["boxes"], [[1, 2, 4, 6], [0, 0, 12, 9], [0, 1, 2, 9]])
    assert first["labels"].tolist() == [1, 0, 1] and first["crowd"].tolist() == [0, 1, 0]
    assert first["area"].tolist() == [5.5, 108, 16]
    assert first["boxes"].dtype == first["area"].dtype == np.float32
    assert second["boxes"].shape == (0, 4) and second["labels"].dtype == np.int64
    assert source.summary == "2 classes: cat 1, dog 2"
    name = str(tmp_path / "annotations.json")
    assert source.notes == (
        f"{name}: cut to their image: 1 boxes",
        f"{name}: left out, being inverted, of no area or outside of their image: 4 boxes",
        f"{name}: left out, of images that are not listed: 2 boxes",
    )


def test_no_objects_at_all(tmp_path):
    source = open_coco(put_coco(tmp_path, "annotations.json", coco(2)), "all")
    assert source.info["max_objects"] == 0
    assert [e["boxes"].shape for e in contents(source)] == [(0, 4), (0, 4)]


def test_sizes_that_are_not_said(tmp_path):
    images = [{"id": 1, "file_name": "0.png"}, {"id": "b", "file_name": "1.png", "width": "12"}]
    annotations = [coco_box(1, (0, 0, 20, 20)), coco_box("b")]
    content = coco(0, annotations, images=images)
    source = open_coco(put_coco(tmp_path, "annotations.json", content), "all")
    assert source.ids == [1, "b"]
    np.testing.assert_array_equal(contents(source)[0]["boxes"], [[0, 0, 12, 9]])
    (tmp_path / "1.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"no width and height of 1\.png, and the image cannot"):
        open_coco(tmp_path, "all")


def test_categories_of_one_name(tmp_path):
    categories = [{"id": i, "name": "part"} for i in (3, 0)]
    content = coco(2, [coco_box(category_id=3)], categories=categories)
    source = open_coco(put_coco(tmp_path, "annotations.json", content), "all")
    assert source.info["class_names"] == ("part", "part (3)")
    assert source.info["category_ids"] == (0, 3)


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_a_photo_of_another_size_than_its_boxes(tmp_path, skip_corrupt):
    content = coco(2, [coco_box()])
    content["images"][1] |= {"width": 9, "height": 12}
    source = open_coco(put_coco(tmp_path, "annotations.json", content), "all")
    batches = evaluation_batches(
        source,
        lambda example, seed: (tf.shape(example["boxes"])[:1], ()),
        (tf.TensorSpec((1,), tf.int32), ()),
        batch_size=2,
        skip_corrupt=skip_corrupt,
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"1\.png has 12x9 pixels, but its"):
        list(batches)


CASES = {
    "[1, 2]": "is no COCO file: an object with .* it is a list",
    "{": "is no JSON: Expecting property name",
    "\xff" * 3: "is no JSON",
    "[" * 100_000: "is no JSON",
    '{"images": [], "annotations": []}': "no categories, a list|lists no images",
}


@pytest.mark.parametrize("content, message", list(CASES.items()))
def test_refuses_files(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_coco(put_coco(tmp_path, "annotations.json", content), "all")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "change, message",
    [
        ({"categories": None}, "has no categories, a list of objects"),
        ({"categories": []}, "lists no categories"),
        ({"images": []}, "lists no images"),
        ({"images": [3]}, "has no images, a list of objects"),
        ({"annotations": {}}, "has no annotations"),
        (
            {"annotations": [coco_box(category_id=3, id=5)]},
            "annotation 5 is of the category 3, which",
        ),
        (
            {"annotations": [coco_box(category_id="dog")]},
            "annotation at place 0 is of the category dog",
        ),
        ({"annotations": [coco_box(bbox=(1, 2, 3))]}, "has no bbox of four finite numbers"),
        ({"annotations": [coco_box(bbox=(1, 2, 3, float("nan")))]}, "has no bbox of four finite"),
        ({"annotations": [coco_box(bbox=(1, 2, 3, 10**400))]}, "has no bbox of four finite"),
        ({"annotations": [coco_box(bbox="x" * 9999)]}, "has no bbox of four finite numbers"),
        ({"annotations": [coco_box(iscrowd="no")]}, "iscrowd that is neither 0 nor 1: no"),
        ({"categories": [CATEGORIES[0]] * 2}, "two categories with the id 7"),
        ({"categories": [{"id": True, "name": "x"}]}, "a category without an integer as id"),
        ({"categories": [{"id": 1}]}, "a category without an integer as id and a text as name"),
        ({"images": [{"id": 1, "file_name": "0.png"}] * 2}, "two images with the id 1"),
        (
            {"images": [{"id": i, "file_name": "0.png"} for i in "ab"]},
            "lists the image 0.png tw",
        ),
        ({"images": [{"file_name": "0.png"}]}, "image 0 has no id"),
        ({"images": [{"id": [1], "file_name": "0.png"}]}, "image 0 has no id"),
        ({"images": [{"id": 1}]}, "image 1 has no file_name"),
        ({"images": [{"id": 1, "file_name": "no\0"}]}, "image 1 has no file_name"),
        ({"images": [{"id": 1, "file_name": "9.png"}]}, "lists 9.png, which is in none of the fol"),
        (
            {"images": [{"id": i, "file_name": f"{i}.png"} for i in (1, 4)]},
            r"lists 1 images that are not in .*, the first of them 4\.png",
        ),
    ],
)
def test_refuses(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_coco(put_coco(tmp_path, "annotations.json", coco(2) | change), "all")
    assert str(tmp_path) in str(caught.value) and len(str(caught.value)) < 1500


def test_refuses_places(tmp_path):
    with pytest.raises(ValueError, match="is neither a folder nor a file"):
        open_coco(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="has no JSON file; annotations/instances"):
        open_coco(tmp_path, "train")
    for name in "ab":
        put_coco(tmp_path, f"{name}.json", coco(2))
    with pytest.raises(ValueError, match=r"has a\.json, b\.json; annotations/instances"):
        open_coco(tmp_path, "train")
    for year in (2014, 2017):
        put_coco(tmp_path, f"annotations/instances_train{year}.json", coco(2))
    with pytest.raises(ValueError, match="has several files for train: instances_train2014"):
        open_coco(tmp_path, "train")
    put_coco(tmp_path / "one", "annotations.json", coco(1), count=1)
    assert open_coco(tmp_path / "one", "train").count == 1
    with pytest.raises(ValueError, match="holds no images for 'validation'; it lists 1"):
        open_coco(tmp_path / "one", "validation")
