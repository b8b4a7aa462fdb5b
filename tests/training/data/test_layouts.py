"""Data as users have them: folders and lists of every shape, and what is made of each.

A case is what lies there, options, and what is said of it: the counts of both parts, then what was
passed over; or the sentence that refuses it. DATA stands for the folder, OPTION for the words that
name the option which makes a class of every folder.
"""

import errno
import os

import pytest

from training.data.inputs import Inputs
from training.data.sources import open_source
from training.data.sources.layout import AS_CLASSES

LONG = "x" * 140_000


def images(*folders, count=2, ending=".png"):
    """Names of images, `count` in each folder."""
    return [f"{folder}/{i:02}{ending}" for folder in folders for i in range(count)]


def parts(train="train", val="val"):
    """Names of images in two parts."""
    return [
        *images(f"{train}/a", f"{train}/b", count=3),
        *images(f"{val}/a", f"{val}/b", count=1),
    ]


def rows(labels, first=0, stop=12):
    """Rows of a list, whose images have the labels in turn."""
    return "".join(f"i/{i:02}.png,{labels[i % len(labels)]}\n" for i in range(first, stop))


def lay(folder, names):
    """Makes files; "NAME/" is a folder, "NAME -> TARGET" a link, "NAME |" a pipe."""
    for name in names:
        name, arrow, target = name.partition(" -> ")
        path = folder / name.removesuffix(" |")
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(target)
        elif name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif name.endswith(" |"):
            os.mkfifo(path)
        else:
            path.write_bytes(b"never decoded here")
    return folder


def told(spec, data, root, **options):
    """What a run says of its data at the start, or the error."""
    try:
        opened = [open_source(spec, s, data=data, **options) for s in ("train", "validation")]
        lines = Inputs(*opened, steps_per_epoch=1).notes
    except ValueError as error:
        lines = [f"error: {error}"]
    assert all(len(line) < 1000 and line.isprintable() for line in lines)
    return [line.replace(str(root), "DATA").replace(AS_CLASSES, "OPTION") for line in lines]


FOLDERS = {
    "a folder a class": ([*images("a", count=12), *images("b")], {}, "a 10, b 1; a 2, b 1"),
    "train and val": (parts(), {}, "a 3, b 3; a 1, b 1"),
    "Train and Val": (parts("Train", "Val"), {}, "a 3, b 3; a 1, b 1"),
    "TRAINING and Valid": (parts("TRAINING", "Valid"), {}, "a 3, b 3; a 1, b 1"),
    "training and validation": (parts("training", "validation"), {}, "a 3, b 3; a 1, b 1"),
    "train and a test with labels": (
        parts(val="Test"),
        {},
        "a 3, b 3; a 1, b 1",
        "DATA has no folder for validation: Test is held out",
    ),
    "train, val and a test with labels": ([*parts(), *images("test/a")], {}, "a 3, b 3; a 1, b 1"),
    "train and a test without labels": (
        [*images("train/a", "train/b", count=11), *images("test", count=5)],
        {},
        "a 9, b 9; a 2, b 2",
        "DATA has no folder for validation: a tenth of train is held out",
        "passed over: DATA/test, 5 images without a folder a class",
    ),
    "train, val and a test without labels": (
        [*parts(), *images("test/unknown", count=5)],
        {},
        "a 3, b 3; a 1, b 1",
        "passed over: DATA/test, 5 images without a folder a class",
    ),
    "train alone": (
        images("train/a", "train/b"),
        {},
        (
            "error: DATA has a folder for training, but none for 'validation'; with --data "
            "DATA/train a tenth of it is held out, and OPTION."
        ),
    ),
    "two folders to learn from": (
        [*parts(), *images("Training/a")],
        {},
        ("error: DATA has two folders for train, Training and train; remove one, or OPTION."),
    ),
    "what is held out is what is learnt": (
        [*images("train/a", "train/b"), "val -> train"],
        {},
        (
            "error: DATA/val and DATA/train are the same folder; what is held out must not be"
            " learnt from."
        ),
    ),
    "a class called train": (
        images("car", "train"),
        {},
        (
            "error: DATA/train has 0 folders with images; at least two classes are needed, a "
            "folder for each; it was taken for the part to learn from, and OPTION."
        ),
    ),
    "a class called train, said so": (
        images("car", "train"),
        {"splits": False},
        "car 1, train 1; car 1, train 1",
    ),
    "a class called Test": (
        images("car", "Test"),
        {},
        (
            "error: DATA has Test, which is taken for a part to hold out, but no folder "
            "called train; OPTION."
        ),
    ),
    "a class called Test, said so": (
        images("car", "Test", count=3),
        {"splits": False},
        "Test 2, car 2; Test 1, car 1",
    ),
    "a class called train, with folders in it": (
        images("car/red", "train/steam", "train/diesel"),
        {},
        (
            "error: DATA has a folder for training, but none for 'validation'; with --data "
            "DATA/train a tenth of it is held out, and OPTION."
        ),
    ),
    "other folders beside": (
        [*parts(), *images("extra/c"), "notes/read.txt"],
        {},
        "a 3, b 3; a 1, b 1",
        (
            "passed over: DATA/extra, 2 images, as train was taken for the part to learn "
            "from: OPTION"
        ),
    ),
    "other folders beside, and nothing held out": (
        [*images("train/a", "train/b", "extra/c"), "test/1.png"],
        {},
        (
            "error: DATA has train for the part to learn from, none to hold out, and folders "
            "with images beside them, such as extra; OPTION."
        ),
    ),
    "formats of Pillow": (
        [f"{c}/{i}.{c}" for c in ("webp", "TIF", "tiff", "avif", "jfif") for i in range(2)],
        {},
        "TIF 1, avif 1, jfif 1, tiff 1, webp 1; TIF 1, avif 1, jfif 1, tiff 1, webp 1",
    ),
    "a class of photos that are not read": (
        [*images("a", "b"), *images("c", count=3, ending=".HEIC")],
        {},
        (
            "error: DATA/c has no image that is read, but 3 .heic: convert them to JPEG, PNG,"
            " GIF, BMP, WebP, TIFF or AVIF, or move the folder away."
        ),
    ),
    "some photos that are not read, and other files": (
        [
            *images("a", "b"),
            *images("a", count=3, ending=".HEIC"),
            "b/notes.txt",
            "b/LICENSE",
            "top.png",
            "docs/x.txt",
        ],
        {},
        "a 1, b 1; a 1, b 1",
        "passed over: DATA/docs, which holds no images",
        (
            "passed over: 3 .heic (such as DATA/a/00.HEIC), 2 .txt (such as "
            "DATA/b/notes.txt), 1 without an ending (such as DATA/b/LICENSE), 1 .png (such as"
            " DATA/top.png)"
        ),
    ),
    "a class with one image": (
        [*images("a", count=11), "b/1.png"],
        {},
        "a 9, b 1; a 2, b 0",
        "the only image is learnt from, and none is held out: b",
    ),
    "one image in every class": (
        ["a/1.png", "b/1.png"],
        {},
        (
            "error: DATA holds no images for 'validation'; files ending in .jpg, .jpeg, .jpe,"
            " .jfif, .png, .gif, .bmp, .webp, .tif, .tiff, .avif in one folder a class count."
        ),
    ),
    "one class": (
        images("a"),
        {},
        (
            "error: DATA has 1 folders with images (a); at least two classes are needed, a "
            "folder for each."
        ),
    ),
    "parts with one class": (
        images("train/a", "val/a"),
        {},
        (
            "error: DATA/train has 1 folders with images (a); at least two classes are "
            "needed, a folder for each; it was taken for the part to learn from, and OPTION."
        ),
    ),
    "another class is held out": (
        [*parts(), *images("val/c")],
        {},
        ("error: DATA/val/c is a label outside the 2 classes, which are those of DATA/train."),
    ),
    "links back": (
        [*images("a", "b"), "a/self -> ../a", "a/up -> ..", "c -> ."],
        {},
        "a 1, b 1; a 1, b 1",
        "passed over: DATA/a/up, which leads to DATA again",
        "passed over: DATA/a/self, which leads to DATA/a again",
        "passed over: DATA/c, which leads to DATA again",
    ),
    "a class by two names": (
        [*images("a", "b"), "c -> a"],
        {},
        (
            "error: DATA/c is the same folder as DATA/a, so its images would be of two "
            "classes; remove one of them."
        ),
    ),
    "hidden and odd files": (
        [
            *images("a", "b", ".hidden", "a/.cache", "__MACOSX/a"),
            "a/x -> x",
            "a/pipe.png |",
            "a/dir.png/3.png",
            "a/._1.png",
            "b/gone.png -> nowhere",
        ],
        {},
        "a 2, b 2; a 1, b 1",
        ("passed over: 1 .png (such as DATA/a/pipe.png), 1 without an ending (such as DATA/a/x)"),
    ),
    "a class behind a link": (
        [*images("a", "other/.deep"), "b -> other/.deep"],
        {},
        "a 1, b 1; a 1, b 1",
        "passed over: DATA/other, which holds no images",
    ),
    "names that are long or cannot be printed": (
        [*images("a" * 90, "b\nc")],
        {},
        (
            "aaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaa 1, b\\nc 1; "
            "aaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaa 1, b\\nc 1"
        ),
    ),
    "no folder in it": (
        ["1.png", "2.png"],
        {},
        (
            "error: DATA has 0 folders with images; at least two classes are needed, a folder"
            " for each."
        ),
    ),
}
LISTS = {
    "one list": ({"all.csv": rows("ab")}, {}, "a 5, b 5; a 1, b 1"),
    "two lists": (
        {"train.csv": rows("ab", 0, 8), "val.csv": rows("ab", 8)},
        {},
        "a 4, b 4; a 2, b 2",
    ),
    "lists with capitals": (
        {"Train.CSV": rows("ab", 0, 8), "Valid.csv": rows("a", 8)},
        {},
        "a 4, b 4; a 4, b 0",
    ),
    "train and test": (
        {"train.csv": rows("ab", 0, 8), "test.csv": rows("b", 8)},
        {},
        "a 4, b 4; a 0, b 4",
        "DATA has no list for validation: test.csv is held out",
    ),
    "a heading": (
        {"all.csv": "file,label\n" + rows("ab", 0, 4)},
        {},
        "a 1, b 1; a 1, b 1",
        "DATA/all.csv: taken for a heading: file,label",
    ),
    "a heading of one list": (
        {"train.csv": "file,label\n" + rows("ab", 0, 4), "val.csv": rows("ab", 4)},
        {},
        "a 2, b 2; a 4, b 4",
        "DATA/train.csv: taken for a heading: file,label",
    ),
    "a first row with a space": (
        {"all.csv": 'i/00.png ,a\n"no ending",b\nspaced.png ,a\n i/01.png,b\n'},
        {},
        "a 1, b 1; a 1, b 1",
    ),
    "a first row without an ending": (
        {"all.csv": "no ending,a\n" + rows("ab", 0, 4)},
        {},
        "a 2, b 1; a 1, b 1",
    ),
    "a first row whose file is missing": (
        {"all.csv": "gone.png,a\n" + rows("ab", 0, 4)},
        {},
        ("error: DATA/all.csv lists 1 files that are not in DATA, the first of them gone.png."),
    ),
    "a mark of byte order, quotes, empty lines": (
        {"all.csv": '\ufeffi/00.png,"a or so"\r\n\r\n ,\r\ni/01.png,b\r\ni/02.png,b\r\n'},
        {},
        "a or so 1, b 1; a or so 0, b 1",
        "the only image is learnt from, and none is held out: a or so",
    ),
    "rows twice": (
        {"all.csv": rows("ab", 0, 4) + "./i/00.png,a\ni/01.png,b\n"},
        {},
        "a 1, b 1; a 1, b 1",
        (
            "DATA/all.csv lists 2 images again with the same label, the first of them "
            "i/00.png; each counts once"
        ),
    ),
    "an image with two labels": (
        {"all.csv": rows("ab", 0, 4) + "i/00.png,b\ni/01.png,a\n"},
        {},
        (
            "error: DATA/all.csv lists 2 images again with another label, the first of them "
            "i/00.png; each must have one row."
        ),
    ),
    "a field that is too long": (
        {"all.csv": rows("ab", 0, 4) + f"i/04.png,{LONG}\n"},
        {},
        (
            "error: DATA/all.csv, line 5, cannot be read as CSV: field larger than field "
            "limit (131072); perhaps a quote is not closed."
        ),
    ),
    "a quote that is not closed": (
        {"all.csv": rows("ab", 0, 4) + f'"i/04.png,a\n{LONG}'},
        {},
        (
            "error: DATA/all.csv, line 6, cannot be read as CSV: field larger than field "
            "limit (131072); perhaps a quote is not closed."
        ),
    ),
    "a row without a label": (
        {"all.csv": rows("ab", 0, 4) + f"i/04.png\n{LONG}"},
        {},
        "error: DATA/all.csv, line 5, is not `file,label`: i/04.png",
    ),
    "no UTF-8": (
        {"all.csv": rows("ab", 0, 4).encode("utf-16")},
        {},
        "error: DATA/all.csv must be a CSV file in UTF-8; byte 0 is not.",
    ),
    "held out is learnt from too": (
        {"train.csv": rows("ab", 0, 8), "val.csv": rows("ab", 6)},
        {},
        "a 4, b 4; a 3, b 3",
        ("2 of the 6 images of DATA/val.csv are learnt from as well, the first of them i/06.png"),
    ),
    "absolute paths": (
        {"all.csv": "DATA/i/00.png,a\ni/01.png,b\nDATA/i/02.png,b\n"},
        {},
        "a 1, b 1; a 0, b 1",
        "the only image is learnt from, and none is held out: a",
    ),
    "several labels": (
        {"all.csv": rows(("m|n", "No Finding", "n"))},
        {"multi_label": True},
        "m 3, n 7; m 1, n 1",
    ),
    "several labels in several rows": (
        {"all.csv": "i/00.png,m\ni/00.png,n\ni/01.png,m|n\n"},
        {"multi_label": True},
        (
            "error: DATA/all.csv lists 1 images again with another label, the first of them "
            "i/00.png; each must have one row; join them with |."
        ),
    ),
}


def expected_lines(said):
    """The lines of a case: of "a 9, b 1; a 1, b 0", the counts, then notes."""
    if said[0].startswith("error"):
        return list(said)
    counts = zip(("to learn from", "held out"), said[0].split("; "), strict=True)
    several = [f"{part}: {text.count(',') + 1} classes: {text}" for part, text in counts]
    return [*several, *said[1:]]


@pytest.mark.parametrize("case", FOLDERS)
def test_folders(case, tmp_path):
    names, options, *said = FOLDERS[case]
    assert told("folder", lay(tmp_path, names), tmp_path, **options) == expected_lines(said)


@pytest.mark.parametrize("case", LISTS)
def test_lists(case, tmp_path):
    files, options, *said = LISTS[case]
    lay(tmp_path, [*images("i", count=12), "spaced.png ", "no ending"])
    for name, text in files.items():
        data = text if isinstance(text, bytes) else text.replace("DATA", str(tmp_path)).encode()
        (tmp_path / name).write_bytes(data)
    data = tmp_path / next(iter(files)) if len(files) == 1 else tmp_path
    assert told("csv", data, tmp_path, **options) == expected_lines(said)


# What a table cannot hold


@pytest.mark.parametrize("shut", [".", "a", "b/inner"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_opened(shut, code, tmp_path, monkeypatch):
    """The tests may be run by root, who may open every folder."""
    lay(tmp_path, images("a", "b/inner"))
    scandir, path = os.scandir, os.path.normpath(tmp_path / shut)

    def refuse(folder):
        if str(folder) == path:
            raise OSError(code, os.strerror(code), folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError) as caught:
        open_source("folder", "train", data=tmp_path)
    assert str(caught.value).startswith(f"{path} cannot be opened: {os.strerror(code)}; make it")


def test_a_name_that_is_no_text(tmp_path):
    lay(tmp_path, images("a", "b"))
    os.makedirs(os.fsencode(tmp_path) + b"/a/\xff")
    with open(os.fsencode(tmp_path) + b"/a/\xff/\xfe.png", "wb") as file:
        file.write(b"bytes")
    source = open_source("folder", "all", data=tmp_path)
    read = [source.example_of(i)["image"].numpy() for i in range(source.count)]
    assert source.count == 5 and b"bytes" in read
    os.rename(os.fsencode(tmp_path) + b"/b", os.fsencode(tmp_path) + b"/\xff")
    with pytest.raises(ValueError, match=r"/\\udcff must be named in UTF-8"):
        open_source("folder", "all", data=tmp_path)


def test_all_of_what_nobody_divided(tmp_path):
    lay(tmp_path, images("a", "b", count=11))
    assert open_source("folder", "all", data=tmp_path).count == 22
    (tmp_path / "all.csv").write_text("a/00.png,a\na/01.png,b\nb/00.png,a\n")
    assert open_source("csv", "all", data=tmp_path / "all.csv").count == 3
    lay(tmp_path / "parts", parts())
    with pytest.raises(ValueError, match="has a folder for training, but none for 'all'"):
        open_source("folder", "all", data=tmp_path / "parts")


def test_a_test_without_labels_cannot_be_evaluated(tmp_path):
    lay(tmp_path, [*parts(), *images("test")])
    with pytest.raises(ValueError, match="test has no folder that is called as a class of"):
        open_source("folder", "test", data=tmp_path)


def test_a_part_alone_can_be_evaluated(tmp_path):
    lay(tmp_path, images("Val/a", "Val/b"))
    assert open_source("folder", "test", data=tmp_path).count == 4
    with pytest.raises(ValueError, match=r"Val, which is taken for a part .* but none for 'train'"):
        open_source("folder", "train", data=tmp_path)
