"""A folder of images to rows: each once, however often it is killed."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_regionvit
from keras_regionvit.export import Preprocessing, export_saved_model
from tests.support import served_model
from tests.support.photos import KINDS, encoded, photo
from tests.support.served_model import LABELS, SIZE
from training import predict
from training.prediction import folder as predict_folder
from training.prediction.files import names_under

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
COUNT, KILLS = (20_000, 5) if os.environ.get("KILLS") else (400, 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "1"
    export_saved_model(
        served_model.build(), path, LABELS, preprocessing=Preprocessing(SIZE), top_k=2
    )
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with images in folders, some of them bad, and names that CSV must quote."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "b" / "c").mkdir(parents=True)
    data = [encoded(Image.fromarray(photo(30, 40, seed)), "PNG") for seed in range(5)]
    for i in range(COUNT):
        place = (folder, folder / "b", folder / "b" / "c")[i % 3]
        (place / f"{i:04}.png").write_bytes(data[i % 5] if i % 50 else b"bad")
    (folder / 'a "quoted", name\nin two lines.JPG').write_bytes(KINDS["jpeg"])
    (folder / "notes.txt").write_text("no image")
    os.symlink("nowhere", folder / "dangling.png")
    return folder


def expected_names(folder):
    return sorted(
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.suffix.lower() in (".png", ".jpg")
    )


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def whole(model, photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    assert predict_folder.run(model, photos, path, batch=64) == (COUNT + 2, COUNT // 50 + 1)
    return rows(path)


def test_rows_are_the_models_answers(model, photos, whole):
    assert whole[0] == ["file", "valid", "class1", "label1", "score1", "class2", "label2", "score2"]
    assert sorted(row[0] for row in whole[1:]) == expected_names(photos)
    serve = tf.saved_model.load(str(model)).signatures["serving_default"]
    for name, valid, *best in whole[1::29]:
        if not (photos / name).exists():
            continue
        answer = serve(image_bytes=tf.constant([(photos / name).read_bytes()]))
        assert valid == str(int(answer["valid"][0]))
        if valid == "1":
            assert [int(best[0]), int(best[3])] == answer["classes"][0].numpy().tolist()
            assert [best[1], best[4]] == [LABELS[int(best[0])], LABELS[int(best[3])]]
            np.testing.assert_allclose(
                [float(best[2]), float(best[5])], answer["scores"][0], atol=2e-6
            )
        else:
            assert best == [""] * 6


@pytest.mark.slow
def test_however_often_it_is_killed_each_image_has_one_row(model, photos, whole, tmp_path):
    output = tmp_path / "rows.csv"
    command = [sys.executable, "-c",
               "import sys; from training.prediction import folder as p; "
               "print('ready', flush=True); p.run(*sys.argv[1:], batch=3)",
               str(model), str(photos), str(output)]  # fmt: skip
    kills, sizes = 0, []
    while kills < KILLS:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        before = output.stat().st_size if output.exists() else 0
        while process.poll() is None and (
            not output.exists() or output.stat().st_size <= before + COUNT * (kills + 1)
        ):
            time.sleep(0.002)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
        sizes.append(output.stat().st_size)
    assert kills == KILLS and sizes == sorted(set(sizes))  # it went on each time
    done = predict_folder.run(model, photos, output)
    assert done == (COUNT + 2, COUNT // 50 + 1)
    assert [row[:2] for row in sorted(rows(output)[1:])] == [row[:2] for row in sorted(whole[1:])]
    before = output.read_bytes()
    assert predict_folder.run(model, photos, output) == done and output.read_bytes() == before


def test_a_row_torn_anywhere_is_made_again(model, photos, whole, tmp_path, monkeypatch):
    output = tmp_path / "rows.csv"
    few = tmp_path / "few"
    few.mkdir()
    for name in ('a\n"b".png', "c.png", "é, d.png"):
        (few / name).write_bytes(KINDS["png"])
    predictor = predict_folder.Predictor(model)
    monkeypatch.setattr(predict_folder, "Predictor", lambda *_: predictor)
    predict_folder.run(model, few, output)
    before = output.read_bytes()
    assert len(rows(output)) == 4
    for end in range(len(before)):
        output.write_bytes(before[:end])
        assert predict_folder.run(model, few, output) == (3, 0)
        assert output.read_bytes() == before, end


def test_new_images_get_rows(model, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.png").write_bytes(KINDS["png"])
    output = tmp_path / "rows.csv"
    assert predict_folder.run(model, tmp_path / "in", output) == (1, 0)
    (tmp_path / "in" / "a.png").write_bytes(KINDS["png"])
    assert predict_folder.run(model, tmp_path / "in", output) == (2, 0)
    assert [row[0] for row in rows(output)] == ["file", "b.png", "a.png"]


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    listed = os.scandir

    def scandir(path):
        if pathlib.Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ValueError, match=r"cannot be listed, .*b: Permission denied"):
        list(names_under(tmp_path))


def test_rows_that_cannot_be_written(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    output = tmp_path / "missing" / "rows.csv"
    command = ["--model", model, "--folder", tmp_path / "in", "--csv", output]
    assert predict.main(list(map(str, command))) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "cannot be written: No such file" in error
    assert error.count("\n") == 1 and not output.parent.exists()


def test_what_is_refused(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "mine.csv").write_text("precious\n")
    output = tmp_path / "rows.csv"
    command = ["--model", model, "--folder", tmp_path / "in", "--csv"]
    assert predict.main(list(map(str, [*command, output]))) == 0
    assert "0 rows" in capsys.readouterr().out
    for arguments, said in (
        ([*command, tmp_path / "mine.csv"], "is not of an earlier run"),
        (["--model", model, "--folder", tmp_path / "none", "--csv", output], "is not a folder"),
        (["--model", tmp_path, "--folder", tmp_path, "--csv", output], "is not a SavedModel"),
        (["--model", model, "--folder", tmp_path, "--csv", output], "another folder"),
        (["--model", model, "--csv", output], "go together"),
        ([*command, output, "--samples", 1], "alone"),
    ):
        assert predict.main(list(map(str, arguments))) == 2, arguments
        error = capsys.readouterr().err
        assert error.startswith("error: ") and said in error and error.count("\n") == 1
    assert (tmp_path / "mine.csv").read_text() == "precious\n"
