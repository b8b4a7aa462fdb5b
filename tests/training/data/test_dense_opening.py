"""What opens boxes and masks: by name, by what lies in a folder, from TensorFlow Datasets."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.dense_sets import (
    coco,
    coco_box,
    put_coco,
    put_masks,
    put_voc,
    voc_item,
    voc_xml,
)
from tests.support.sources import contents, prepared_set
from training.data.pipeline import evaluation_batches
from training.data.sources import (
    open_detection_source,
    open_segmentation_source,
    split_spec,
    why_not_here,
)
from training.data.sources.tfds_dense import COCO_IDS


def test_composed():
    assert open_detection_source("composed", "train").count == 2000
    assert open_detection_source("composed", "test", count=900).count == 500
    source = open_segmentation_source("composed", "train", count=7)
    assert source.count == 7 and len(source.info["class_names"]) == 11


@pytest.mark.parametrize("spec", [None, "folder", "composed", "tfds:coco/2017"])
def test_what_lies_in_a_folder(tmp_path, spec):
    put_coco(tmp_path / "coco", "train.json", coco(2, [coco_box()]))
    put_voc(tmp_path / "voc", "JPEGImages", "Annotations", [voc_xml(voc_item())] * 3)
    for kind, count in (("coco", 1), ("voc", 2)):
        source = open_detection_source(spec, "train", tmp_path / kind)
        assert source.count == count
        assert open_detection_source(kind, "train", tmp_path / kind).name == source.name
    assert open_detection_source(spec, "train", tmp_path / "coco/train.json").count == 1


def test_masks_in_a_folder(tmp_path):
    put_masks(tmp_path, "images", "masks", 3)
    for spec in (None, "folder", "composed", "masks"):
        assert open_segmentation_source(spec, "train", tmp_path).count == 2


@pytest.mark.parametrize(
    "spec, split, message",
    [
        ("csv", "train", "`data` must be one of composed, coco, voc, tfds:coco/2017, folder. Rec"),
        ("masks", "train", "`data` must be one of composed, coco, voc"),
        ("composed", "dev", "`split` must be train, validation or test"),
        ("coco", "train", "--data must say where the images are, as the recipe reads 'coco'"),
        ("folder", "train", "--data must say where the images are"),
        (None, "train", "--data must say where the images are"),
    ],
)
def test_refuses(spec, split, message):
    with pytest.raises(ValueError, match=message):
        open_detection_source(spec, split)


def test_refuses_folders(tmp_path):
    for opener, kinds in (
        (open_detection_source, "coco or voc"),
        (open_segmentation_source, "mask"),
    ):
        for data in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(ValueError, match=f"of a kind that is known here: {kinds}"):
                opener(None, "train", data)
    put_coco(tmp_path, "train.json", coco(2, [coco_box()]))
    put_voc(tmp_path, ".", ".", [voc_xml(voc_item())])
    with pytest.raises(ValueError, match="holds both JSON and XML files; say which by --data coco"):
        open_detection_source(None, "train", tmp_path)


def test_what_data_may_begin_with(tmp_path):
    for kind in ("coco", "voc", "masks"):
        assert split_spec(f"{kind}:/photos") == (kind, "/photos")
        assert "--data must say where the images are" in why_not_here(kind)
    assert split_spec("tfds:coco/2017") == ("tfds:coco/2017", None)
    assert "is not on this machine" in why_not_here("tfds:coco/2017", str(tmp_path))
    assert why_not_here("composed") is None


def encoded(image, kind):
    made = io.BytesIO()
    Image.fromarray(image).save(made, kind)
    made.seek(0)
    return made


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds_coco(tmp_path, monkeypatch):
    def example(number, boxes):
        objects = [
            {
                "id": i,
                "area": 10 + i,
                "bbox": tfds_box,
                "label": (number + i) % 80,
                "is_crowd": i == 1,
            }
            for i, tfds_box in enumerate(boxes)
        ]
        image = np.full((20, 40, 3), number, "uint8")
        return number, {
            "image": encoded(image, "JPEG"),
            "image/filename": f"{number}.jpg",
            "image/id": number,
            "objects": objects,
        }

    import tensorflow_datasets as tfds

    two = [tfds.features.BBox(0.1, 0.25, 0.5, 1.0), tfds.features.BBox(0.0, 0.0, 1.0, 1.0)]
    flat = [tfds.features.BBox(0.5, 0.5, 0.5, 0.7), tfds.features.BBox(0.0, 0.0, 1.0, 1.0)]
    made = {
        "train": [example(0, two), example(1, []), example(2, flat)],
        "validation": [example(3, two[:1]), example(4, [])],
        "test": [example(5, []), example(6, [])],
    }
    data = prepared_set("coco/2017", tmp_path, monkeypatch, made)
    source = open_detection_source("tfds:coco/2017", "train", data=data)
    assert source.count == 3 and source.info["category_ids"] == COCO_IDS
    assert len(COCO_IDS) == len(source.info["class_names"]) == 80 and COCO_IDS[-1] == 90
    shown = sorted(contents(source), key=lambda e: -len(e["boxes"]))
    np.testing.assert_allclose(shown[0]["boxes"], [[10, 2, 40, 10], [0, 0, 40, 20]])
    assert shown[0]["labels"].tolist() == [0, 1] and shown[0]["crowd"].tolist() == [False, True]
    assert shown[0]["area"].tolist() == [10, 11] and shown[0]["area"].dtype == np.float32
    assert shown[1]["boxes"].tolist() == [[0, 0, 40, 20]]  # the one of no area is left out
    assert shown[2]["boxes"].shape == (0, 4) and shown[2]["labels"].dtype == np.int64
    for split in ("validation", "test"):
        held_out = open_detection_source("tfds:coco/2017", split, data=data)
        assert held_out.count == 2 and held_out.name == "tfds:coco/2017 validation"


@pytest.mark.filterwarnings("ignore")  # TFDS' own
def test_tfds_scenes(tmp_path, monkeypatch):
    def example(number):
        values = np.zeros((6, 8, 3), "uint8")
        values[:2, :, 0], values[2:4, :, 0], values[:4, :, 1] = number + 1, 150, 77
        image = np.full((6, 8, 3), number, "uint8")
        return number, {"image": encoded(image, "JPEG"), "annotation": encoded(values, "PNG")}

    made = {"train": [example(i) for i in range(4)], "test": [example(8), example(9)]}
    data = prepared_set("scene_parse150", tmp_path, monkeypatch, made)
    source = open_segmentation_source("tfds:scene_parse150", "train", data=data)
    assert source.count == 4 and len(source.info["class_names"]) == 150
    assert "masks of instances" in source.notes[0]
    for example in contents(source):
        assert example["mask"].dtype == np.uint8 and example["mask"].shape == (6, 8)
        assert set(example["mask"][2:4].ravel()) == {149} and set(example["mask"][4:].ravel()) == {
            255
        }
    assert sorted(e["mask"][0, 0] for e in contents(source)) == [0, 1, 2, 3]
    held_out = open_segmentation_source("tfds:scene_parse150", "validation", data=data)
    assert held_out.count == 2
    batches = evaluation_batches(
        held_out,
        lambda example, seed: (tf.ensure_shape(example["mask"], (6, 8)), ()),
        (tf.TensorSpec((6, 8), tf.uint8), ()),
        batch_size=2,
    )
    assert len(list(batches)) == 1
