"""Apache Beam gives the rows that the folder's predictor gives."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support import served_model
from tests.support.photos import KINDS, encoded, photo
from tests.support.served_model import LABELS, SIZE

pytest.importorskip("apache_beam", reason="needs the extra [beam]")
pytestmark = pytest.mark.filterwarnings("ignore")  # Beam's own

from keras_regionvit.export import Preprocessing, export_saved_model  # noqa: E402
from training.prediction import beam as predict_beam  # noqa: E402
from training.prediction import folder as predict_folder  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "1"
    export_saved_model(
        served_model.build(), path, LABELS, preprocessing=Preprocessing(SIZE), top_k=2
    )
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos [1]*")  # no pattern, though it looks like one
    (folder / "b" / "c").mkdir(parents=True)
    for i in range(60):
        place = (folder, folder / "b", folder / "b" / "c")[i % 3]
        data = encoded(Image.fromarray(photo(30, 40, seed=i % 7)), "PNG") if i % 20 else b"bad"
        (place / f"{i:02}.png").write_bytes(data)
    (folder / 'a "quoted", é name\nin two lines.JPG').write_bytes(KINDS["jpeg"])
    (folder / "notes.txt").write_text("no image")
    return folder


def rows(paths):
    """The header, and the rows by name; fails if a name comes twice."""
    found = {}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            header, *some = csv.reader(file)
        for row in some:
            assert row[0] not in found
            found[row[0]] = row
    return header, found


@pytest.mark.slow
def test_same_rows_as_the_folders_predictor(model, photos, tmp_path):
    predict_folder.run(model, photos, tmp_path / "rows.csv", batch=7)
    header, expected = rows([tmp_path / "rows.csv"])
    command = ["--model", model, "--folder", photos, "--output", tmp_path / "beam" / "rows"]
    assert predict_beam.main(list(map(str, command))) == 0
    found_header, found = rows((tmp_path / "beam").glob("rows-*.csv"))
    assert found_header == header and len(found) == 61
    assert set(found) == set(expected)
    for name, row in found.items():
        same = [i for i, column in enumerate(header) if not column.startswith("score")]
        assert [row[i] for i in same] == [expected[name][i] for i in same]
        if row[1] == "1":
            scores = [i for i in range(len(header)) if i not in same]
            np.testing.assert_allclose(
                [float(row[i]) for i in scores],
                [float(expected[name][i]) for i in scores],
                atol=2e-6,
            )


def test_what_is_refused(model, tmp_path, capsys):
    (tmp_path / "file").touch()
    fine = ["--model", model, "--folder", model]
    for given, said in (
        ([*fine, "--direct_num_workrs", 2], "--direct_num_workrs is known neither here nor"),
        ([*fine, "--output", tmp_path / "file" / "rows"], "cannot be written"),
        (["--model", tmp_path, "--folder", tmp_path], "is not a SavedModel"),
        (["--model", model, "--folder", tmp_path / "none"], "does not exist or has no files"),
    ):
        assert predict_beam.main(list(map(str, ["--output", tmp_path / "rows", *given]))) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.glob("rows*")) == []


def test_the_folders_predictor_does_not_need_beam():
    import subprocess

    code = "import sys, training.prediction.folder; sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
