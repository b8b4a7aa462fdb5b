"""`run.json` and a model's card that are damaged or nonsense: one sentence, or values that fit."""

import copy
import json
import os

import pytest

from keras_regionvit.export.model_card import CARD, read_card, write_card
from tests.support.damage import (
    NONSENSE,
    cut_and_flipped,
    places,
    replaced,
    survey,
)
from training.prediction.opened import crop_ratio_of, record_of
from training.recipes import catalogue
from training.recipes.schema import Recipe, _annotations
from training.recipes.settings import check
from training.runs.folder import RECORD, read_record, write_record


@pytest.fixture
def run(tmp_path):
    """The folder of a run, with its record."""
    write_record(tmp_path, catalogue.load("quickstart").RECIPE, 0, False, None)
    return tmp_path


def read_all(folder):
    record, _ = read_record(folder)
    record_of(folder)
    crop_ratio_of(folder)
    return record


def changed_json(data, rng):
    """Bytes of a JSON file damaged, or one of its values replaced by another."""
    if rng.random() < 0.5:
        return cut_and_flipped(data, rng)
    value = json.loads(data)
    place = rng.choice(list(places(value)))
    return json.dumps(replaced(value, place, rng.choice(NONSENSE))).encode()


def test_random_damage_of_a_record(run):
    survey(run / RECORD, lambda: read_all(run), changed_json, 2**20)


# What fits is accepted: by the dotted name of the setting, or by the record's own name.
FITS = {
    (): (),
    ("data",): (None, "x"),
    ("revision",): (None, "x"),
    ("seed",): (0,),
    ("smoke",): (True, False),
    ("versions",): ({},),
}


def test_nonsense_in_a_record(run):
    """Every value of a record, replaced by every kind of nonsense."""
    path = run / RECORD
    record = json.loads(path.read_text("utf-8"))
    accepted, tried = [], 0
    for place in places(record):
        for new in NONSENSE:
            path.write_text(json.dumps(replaced(record, place, new)))
            tried += 1
            try:
                _, recipe = read_record(run)
            except ValueError as error:
                text = str(error)
                assert text.startswith(f"{path} is damaged: ") and "\n" not in text
                assert len(text) < 1000
            else:
                accepted.append((place, new, recipe))
    for place, new, recipe in accepted:
        if place[0] == "versions" and len(place) == 2:
            assert isinstance(new, str)
        elif place[0] != "recipe":
            assert new in FITS[place] and not (
                new == 0 and type(new) is bool and place == ("seed",)
            )
        else:  # what was read is a recipe whose every setting is of its type and in its range
            for key, hint in _annotations(type(recipe)).items():
                check(key, hint, dict(recipe.items())[key])
            assert Recipe.from_dict(recipe.to_dict()) == recipe
    texts = [x for x in accepted if isinstance(x[1], str) and x[0][0] == "recipe"]
    free = {"name", "variant", "source", "train_split", "eval_split", "weights", "auto_augment"}
    assert {place[-1] for place, _, _ in texts} <= free
    print(f"{len(accepted)} of {tried} accepted, {len(texts)} of them texts")


@pytest.mark.parametrize("name", ["recipe", "seed", "smoke", "data", "versions", "revision"])
def test_a_record_that_lacks_a_value(run, name):
    path = run / RECORD
    record = json.loads(path.read_text("utf-8"))
    del record[name]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=f"{path.name} is damaged: .*`{name}`"):
        read_record(run)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"recipe": ' + "[" * 900 + "]" * 900 + "}", "null", "[]", "1" * 5000, "{}",
     '{"recipe": []}', '{"recipe": {"name": []}}', '"' + "x" * 5 * 2**20 + '"', "\ud800"],
    ids=range(10),
)  # fmt: skip
def test_texts_that_are_no_record(run, text):
    (run / RECORD).write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (read_record, record_of, crop_ratio_of):
        with pytest.raises(ValueError, match=r"run\.json is damaged") as error:
            read(run)
        assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


def test_records_that_are_no_files(run):
    path = run / RECORD
    path.unlink()
    path.mkdir()
    for make in (lambda: None, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero")):
        make()
        for read in (read_record, record_of, crop_ratio_of):
            with pytest.raises(ValueError, match=r"run\.json is not a regular file"):
                read(run)
        path.rmdir() if path.is_dir() else path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(ValueError, match="is not the folder of a run"):
        read_record(run)


def test_a_report_that_is_none(run):
    """A run whose report cannot be read is one that has none."""
    for text in ("[]", "null", "[" * 100_000):
        (run / "report.json").write_text(text)
        assert "metrics" not in record_of(run)


# The card


VALUES = {
    "name": "x", "parameters": 7, "compute_dtype": "float32", "images": [28, 28, 1],
    "classes": 10, "signatures": {"serving_default": {"input": "images"}},
    "preprocessing": {"size": 28, "mean": [0.0], "std": [1.0], "crop_ratio": 1.0},
    "versions": {"keras": "3.15.1"}, "source": "x", "recipe": {"name": "x"},
    "metrics": {"accuracy": 0.5}, "seed": 0, "revision": None,
}  # fmt: skip


@pytest.fixture
def exported(tmp_path):
    folder = tmp_path / "1"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    write_card(folder, VALUES)
    return folder


def test_random_damage_of_a_card(exported):
    wanted = read_card(exported)["sha256"]

    def read():
        assert read_card(exported)["sha256"] == wanted

    def change(data, rng):
        value = json.loads(data)
        if rng.random() < 0.3:  # a file's checksum, or name
            place = rng.choice([p for p in places(value) if p[0] == "sha256"])
            return json.dumps(replaced(value, place, rng.choice(NONSENSE))).encode()
        return changed_json(data, rng)

    survey(exported / CARD, read, change, 2**20, named=str(exported))


def test_a_long_name_in_a_card(exported):
    path = exported / CARD
    card = json.loads(path.read_text())
    card["sha256"]["x" * 3_000_000] = "0" * 64
    path.write_text(json.dumps(card))
    with pytest.raises(ValueError, match=r"is missing since the export") as error:
        read_card(exported)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path.name),
        lambda path: path.symlink_to(".."),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/proc"),
    ],
)
@pytest.mark.parametrize("name", ["new", "variables/new", "saved_model.pb"])
def test_what_is_no_file_in_an_exported_folder(exported, make, name):
    path = exported / name
    path.unlink(missing_ok=True)
    make(path)
    with pytest.raises(ValueError, match=f"{name} is neither a file nor a folder"):
        read_card(exported)


def test_a_link_to_a_file_counts_as_its_content(exported, tmp_path):
    path = exported / "saved_model.pb"
    path.rename(tmp_path / "elsewhere.pb")
    path.symlink_to(tmp_path / "elsewhere.pb")
    assert read_card(exported)["name"] == "x"


def test_a_card_that_is_no_file(exported):
    path = exported / CARD
    path.unlink()
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(path.name)):
        make()
        with pytest.raises(ValueError, match=r"model_card\.json is damaged"):
            read_card(exported)
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=r"has no assets\.extra"):
        read_card(exported)


def test_values_are_not_changed_by_reading(run):
    before = copy.deepcopy(read_all(run))
    assert read_all(run) == before
