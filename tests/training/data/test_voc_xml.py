"""VOC's XML: where it may lie, what of it is kept, cut, counted or refused."""

import numpy as np
import pytest

from tests.support.dense_sets import put_voc, voc_item, voc_xml
from tests.support.sources import contents
from training.data.sources.voc_xml import open_voc


def listed(folder, **names):
    (folder / "ImageSets/Main").mkdir(parents=True)
    for part, stems in names.items():
        (folder / "ImageSets/Main" / f"{part}.txt").write_text("\n".join(stems))


def test_voc(tmp_path):
    texts = [
        voc_xml(voc_item("dog"), voc_item()),
        voc_xml(voc_item("cow")),
        voc_xml(voc_item("cat")),
        None,
    ]
    put_voc(tmp_path, "JPEGImages", "Annotations", texts)
    listed(tmp_path, train=["0  1", "1 -1"], val=["2", "3"])
    source, held_out = (open_voc(tmp_path, split) for split in ("train", "validation"))
    assert (source.count, held_out.count) == (2, 2)
    assert source.info["class_names"] == held_out.info["class_names"] == ("cat", "cow", "dog")
    assert source.info["category_ids"] == (1, 2, 3) and source.info["max_objects"] == 2
    examples = contents(source)
    assert [e["labels"].tolist() for e in examples] == [[2, 0], [1]]
    assert examples[0]["name"].decode() == f"{tmp_path}/JPEGImages/0.png"
    assert [len(e["boxes"]) for e in contents(held_out)] == [1, 0]
    assert held_out.notes == (
        f"{tmp_path}/ImageSets/Main/val.txt: 1 images without XML, taken to have no objects",
    )


def test_folders_as_parts(tmp_path):
    put_voc(tmp_path, "train", "train", [voc_xml(voc_item())] * 3)
    held_out = open_voc(tmp_path, "validation")
    assert held_out.count == 1 and "a tenth of that for training" in held_out.notes[0]
    assert open_voc(tmp_path, "train").count == 2
    put_voc(tmp_path, "valid", "valid", [voc_xml(voc_item())] * 2, first=5)
    assert [open_voc(tmp_path, s).count for s in ("train", "validation", "test")] == [3, 2, 2]
    with pytest.raises(ValueError, match="has a part for training, but none for 'all'"):
        open_voc(tmp_path, "all")


@pytest.mark.parametrize(
    "images, annotations", [("", ""), ("JPEGImages", "Annotations"), ("images", "annotations")]
)
def test_a_tenth_is_held_out(tmp_path, images, annotations):
    put_voc(
        tmp_path,
        images or ".",
        annotations or ".",
        [voc_xml(voc_item())] * 20 + [voc_xml(voc_item("dog"))],
    )
    parts = [open_voc(tmp_path, split) for split in ("train", "validation", "all")]
    assert [part.count for part in parts] == [18, 3, 21]
    assert parts[0].info == parts[1].info
    (tmp_path / "classes.txt").write_text("dog\ncat")
    assert open_voc(tmp_path, "train").info["class_names"] == ("dog", "cat")


def test_what_an_example_holds(tmp_path):
    items = [
        voc_item(box=(1, 1, 12, 9)),
        voc_item(box=(" 2.5", 3, 4, 6), more="<difficult>1</difficult>"),
        voc_item(box=(-5, 2, 30, 4), more="<difficult>0</difficult><part><name>head</name></part>"),
        voc_item(box=(5, 5, 4, 8)),
        voc_item(box=(8, 5, 4, 8)),
        voc_item(box=(20, 5, 24, 8)),
    ]
    put_voc(tmp_path, ".", ".", [voc_xml(*items), voc_xml(size=None)])
    (tmp_path / "stray.xml").write_text(voc_xml())
    source = open_voc(tmp_path, "all")
    first, second = contents(source)
    np.testing.assert_array_equal(first["boxes"], [[0, 0, 12, 9], [1.5, 2, 4, 6], [0, 1, 12, 4]])
    assert first["crowd"].tolist() == [False, True, False]
    assert first["area"].tolist() == [108, 10, 36]
    assert second["boxes"].shape == (0, 4)
    assert source.notes == (
        f"{tmp_path}: passed over: 1 XML files without an image",
        f"{tmp_path}: cut to their image: 1 boxes",
        f"{tmp_path}: left out, being inverted, of no area or outside of their image: 3 boxes",
    )


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is no XML: no element found"),
        ("<annotation>", "is no XML: no element found"),
        ("<html/>", "holds 'html', and 'annotation' was expected"),
        (LAUGHS + voc_xml(voc_item("&b;")), "has a DOCTYPE, which VOC's files do not"),
        ('<!DOCTYPE annotation SYSTEM "file:///etc/passwd">' + voc_xml(), "has a DOCTYPE"),
        ('<?xml version="1.0" encoding="no"?>' + voc_xml(), "is no XML"),
        (voc_xml(voc_item(" ")), "object 0 has no name"),
        (
            voc_xml("<object><name>cat</name></object>"),
            r"object 0 \(cat\) has no bndbox of four finite",
        ),
        (voc_xml(voc_item(box=(1, 2, 3, "nan"))), "has no bndbox of four finite numbers"),
        (voc_xml(voc_item(box=(1, 2, 3, "x" * 9999))), "has no bndbox of four finite numbers"),
        (
            voc_xml(voc_item(more="<difficult>maybe</difficult>")),
            "object 0 is difficult: maybe; 0 or 1",
        ),
        (voc_xml(voc_item("cow")), r"1\.xml has the object 'cow', which is outside the 1 classes"),
        ("<annotation>" + " " * 2**24 + "</annotation>", "is too large for an XML file of VOC"),
    ],
)
def test_refuses(tmp_path, text, message):
    put_voc(tmp_path, ".", ".", [voc_xml(voc_item()), text])
    (tmp_path / "classes.txt").write_text("cat")
    with pytest.raises(ValueError, match=message) as caught:
        open_voc(tmp_path, "all")
    assert "1.xml" in str(caught.value) and len(str(caught.value)) < 700


def test_utf_16_hides_no_doctype(tmp_path):
    put_voc(tmp_path, ".", ".", [voc_xml(voc_item())])
    (tmp_path / "0.xml").write_bytes((LAUGHS + voc_xml(voc_item("&b;"))).encode("utf-16"))
    with pytest.raises(ValueError, match="has a DOCTYPE"):
        open_voc(tmp_path, "all")


def test_refuses_places(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a folder; images with VOC's XML"):
        open_voc(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="holds no images"):
        open_voc(tmp_path, "train")
    put_voc(tmp_path, ".", ".", [None])
    with pytest.raises(ValueError, match="holds no XML file that is called as an image"):
        open_voc(tmp_path, "train")
    put_voc(tmp_path, ".", ".", [voc_xml()])
    with pytest.raises(ValueError, match=r"has no object to learn from, and no classes\.txt"):
        open_voc(tmp_path, "train")
    put_voc(tmp_path, ".", ".", [voc_xml(voc_item())])
    with pytest.raises(ValueError, match="holds no images for 'validation'; it has too few"):
        open_voc(tmp_path, "validation")
    (tmp_path / "0.jpg").write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(ValueError, match=r"two images of one name, 0\.jpg and 0\.png"):
        open_voc(tmp_path, "train")
    put_voc(tmp_path / "voc", "JPEGImages", "Annotations", [voc_xml(voc_item())])
    listed(tmp_path / "voc", train=["0", "7"])
    with pytest.raises(ValueError, match=r"lists 1 images that are not in .* them 7\.jpg"):
        open_voc(tmp_path / "voc", "train")
