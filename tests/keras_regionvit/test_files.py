"""Files and folders that are whole or not there."""

import json
import os

import pytest

from keras_regionvit.files import (
    WriteError,
    remove_leftovers,
    replacing,
    replacing_folder,
    write_json,
    write_text,
)


def test_replacing(tmp_path):
    path = tmp_path / "model.weights.h5"
    for text in ("first", "second"):
        with replacing(str(path)) as aside:
            assert aside.parent == tmp_path
            assert aside.name == f".aside-{os.getpid()}-model.weights.h5"
            aside.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as aside:
        aside.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_full_disk(tmp_path):
    path = tmp_path / "file"
    said = f"{path} cannot be written: No space left on device"
    for before in ("", "; the one before is intact"):
        with (
            pytest.raises(WriteError) as error,
            replacing(path) as aside,
            open("/dev/full", "wb", buffering=0) as full,
        ):
            aside.write_text("half")
            full.write(b"x")
        assert str(error.value) == f"{said}{before}."
        assert os.listdir(tmp_path) == (["file"] if before else [])
        path.write_text("old")


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(WriteError, match=r"/none/file cannot be written: No such file"):
        write_text(tmp_path / "none" / "file", "text")


def test_an_error_without_a_number(tmp_path):
    with pytest.raises(WriteError) as error, replacing(tmp_path / "file"):
        raise OSError("h5py says this\nand more")
    assert str(error.value) == f"{tmp_path / 'file'} cannot be written: h5py says this."


def test_replacing_folder(tmp_path):
    path = tmp_path / "animals" / "1"
    with replacing_folder(path) as aside:
        assert aside.parent == path.parent and aside.name.startswith(".aside-")
        assert aside.stat().st_mode & 0o777 == 0o700 and not any(aside.iterdir())
        (aside / "deep").mkdir()
        (aside / "deep" / "file").write_text("text")
        assert not path.exists()
    assert path.stat().st_mode & 0o777 == 0o755
    assert (path / "deep" / "file").read_text() == "text"
    assert os.listdir(path.parent) == ["1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_folder_is_removed(tmp_path, error):
    with pytest.raises(error), replacing_folder(tmp_path / "1") as aside:
        (aside / "file").write_text("half")
        raise error
    assert os.listdir(tmp_path) == []


def test_a_folder_that_exists(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("folder", "link"):
        with (
            pytest.raises(ValueError, match=f"must not exist yet.*/{name}"),
            replacing_folder(tmp_path / name),
        ):
            raise AssertionError
    assert sorted(os.listdir(tmp_path)) == ["folder", "link"]


def test_leftovers_of_a_kill_are_removed(tmp_path):
    (tmp_path / ".aside-123-last.npz").write_bytes(b"half")
    (tmp_path / ".aside-123-1-abc" / "deep").mkdir(parents=True)
    (tmp_path / "last.npz").write_bytes(b"whole")
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["last.npz"]


def test_text_and_json(tmp_path):
    write_text(tmp_path / "text", "Zürich\n")
    assert (tmp_path / "text").read_bytes() == "Zürich\n".encode()
    write_json(tmp_path / "json", {"a": [1, None]})
    assert (tmp_path / "json").read_text() == json.dumps({"a": [1, None]}, indent=1) + "\n"
    with pytest.raises(TypeError):
        write_json(tmp_path / "json", {"a": object()})
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1, None]}
