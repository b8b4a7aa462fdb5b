"""Weights in files that are damaged or meant to harm: one sentence, and the model as it was."""

import datetime
import os
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_regionvit import load_official_weights, official_state_dict
from keras_regionvit.weights.keras_file import check_keras_file, load_keras_file
from keras_regionvit.weights.pretrained import initialize_from
from tests.keras_regionvit.weights.test_initialize import (
    assert_untouched,
    classifier,
    damage,
    names,
    save,
    values,
)
from tests.support.damage import cut_and_flipped, members, survey

LOADERS = {
    "pth": lambda model, path: load_official_weights(model, path),
    "weights.h5": lambda model, path: load_keras_file(model, path, any_classes=True),
    "keras": lambda model, path: load_keras_file(model, path, any_classes=True),
}


def tables_flipped(data, rng):
    """Bytes of an HDF5 file changed where its tables are, most of them at its beginning."""
    if rng.random() < 0.4:
        return cut_and_flipped(data, rng)
    flipped = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        flipped[rng.randrange(min(len(data), 48_000))] = rng.choice([0, 255, rng.randrange(256)])
    return bytes(flipped)


@pytest.mark.parametrize("kind", list(LOADERS))
def test_random_damage(tmp_path, kind):
    model = classifier()
    path = save(model, tmp_path, kind)
    before = values(model)
    size = path.stat().st_size

    def check(refused):
        if refused:
            return assert_untouched(model, before)
        for variable in model.weights:  # a number that no checksum protects
            assert np.isfinite(np.asarray(variable)).all()
            variable.assign(before[variable.path])

    changes = {"pth": members(cut_and_flipped), "keras": members(tables_flipped)}
    change = changes.get(kind, tables_flipped)
    survey(path, lambda: LOADERS[kind](model, path), change, 3 * (size + size), check)


# Arrays that are none


def text(shape):
    return np.full(shape, "x")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text, "has the dtype <U1"),
        (lambda shape: np.full(shape, None), "has the dtype object"),
        (lambda shape: np.full(shape, 0.5, object), "has the dtype object"),
        (lambda shape: None, "has the dtype object"),
        (lambda shape: np.full(shape, b"1"), "has the dtype |S1"),
        (lambda shape: np.full(shape, 1j), "has the dtype complex128"),
        (lambda shape: np.ones(shape, "uint8"), "has the dtype uint8"),
        (lambda shape: np.ones(shape, "int64"), "has the dtype int64"),
        (lambda shape: np.ones(shape, bool), "has the dtype bool"),
        (lambda shape: np.zeros(shape, "datetime64[s]"), "has the dtype datetime64"),
        (lambda shape: datetime.date(2020, 1, 1), "has the dtype object"),
        (lambda shape: np.full(shape, np.nan), "not finite as float64"),
        (lambda shape: np.full(shape, np.inf), "not finite as float64"),
        (lambda shape: np.full(shape, 1e300), "not finite as float32"),
        (lambda shape: [[1.0], [1.0, 2.0]], "is no array, but a list"),
    ],
)
def test_the_last_array_is_none(make, said):
    model = classifier()
    arrays = {k: v * 0 + 0.5 for k, v in official_state_dict(model).items()}
    key = list(arrays)[-1]
    arrays[key] = make(arrays[key].shape)
    before = values(model)
    with pytest.raises(ValueError, match=f"`source`: '{key}' .*") as error:
        load_official_weights(model, arrays)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert_untouched(model, before)


@pytest.mark.parametrize("key", [1, None, b"head.bias", ("head", "bias"), object()])
def test_keys_that_are_no_texts(key):
    model = classifier()
    with pytest.raises(ValueError, match="`source` must have texts as keys") as error:
        load_official_weights(model, {**official_state_dict(model), key: np.ones(3)})
    assert len(str(error.value)) < 300


def test_a_long_key():
    model = classifier()
    arrays = official_state_dict(model) | {"x" * 3_000_000: np.ones(3, "float32")}
    with pytest.raises(ValueError, match="unexpected xxx") as error:
        load_official_weights(model, arrays)
    assert len(str(error.value)) < 1500


# HDF5


def table(file):
    return next(n for n in names(file) if n.endswith("/attention/vars/0"))


def other_table(file, tmp):
    """Numbers of another file, in the shape of a table for another window."""
    with h5py.File(tmp / "secret.h5", "w") as other:
        other["numbers"] = np.ones((1, 49), "float32")
    name = table(file)
    del file[name]
    return name


def linked(file, tmp):
    file[other_table(file, tmp)] = h5py.ExternalLink(str(tmp / "secret.h5"), "numbers")


def virtual(file, tmp):
    layout = h5py.VirtualLayout((1, 49), "f4")
    layout[:] = h5py.VirtualSource(str(tmp / "secret.h5"), "numbers", (1, 49))
    file.create_virtual_dataset(other_table(file, tmp), layout)


def external(file, tmp):
    (tmp / "secret.bin").write_bytes(np.ones(49, "float32").tobytes())
    stored = [(str(tmp / "secret.bin"), 0, 196)]
    file.create_dataset(other_table(file, tmp), (1, 49), "f4", external=stored)


def soft(file, tmp):
    name = table(file)
    file.move(name, "layers/dense/vars/7")
    file[name] = h5py.SoftLink("/layers/dense/vars/7")


def circle(file, tmp):
    file["layers/again"] = file["layers"]


def twice(file, tmp):
    name = table(file)
    file["layers/dense/vars/7"] = file[name]


def group(file, tmp):
    name = table(file)
    del file[name]
    file.create_group(name)


def empty(file, tmp):
    name = table(file)
    del file[name]
    file[name] = h5py.Empty("f4")


def words(file, tmp):
    name = table(file)
    del file[name]
    file[name] = np.full((1, 25), "x", object)


def not_finite(file, tmp):
    file[table(file)][:] = np.nan


def compound(file, tmp):
    name = table(file)
    del file[name]
    file[name] = np.zeros((1, 25), [("a", "f4"), ("b", "f4")])


def unwritten(file, tmp):
    """Three million classes of which the file has no byte."""
    name = "layers/dense/vars/0"
    del file[name]
    file.create_dataset(name, (32, 3_000_000), "f4")


def packed(file, tmp):
    name = "layers/dense/vars/0"
    del file[name]
    file.create_dataset(name, (32, 300_000), "f4", compression="gzip", fillvalue=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind and of HDF5's oldest and newest format, and a model for them."""
    folder, source = tmp_path_factory.mktemp("files"), classifier()
    found = {}
    for libver in ("earliest", "latest"):
        for kind in ("keras", "weights.h5"):
            (folder / libver).mkdir(exist_ok=True)
            found[kind, libver] = of_library(save(source, folder / libver, kind), libver)
    return classifier(classes=9), found


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize(
    "change",
    [linked, virtual, external, soft, circle, twice, group, empty, words, not_finite, compound,
     unwritten, packed],
)  # fmt: skip
def test_hdf5_that_is_no_set_of_arrays(files, tmp_path, kind, libver, change):
    model, sources = files
    path = tmp_path / f"model.{kind}"
    shutil.copyfile(sources[kind, libver], path)
    damage(path, lambda file: change(file, tmp_path))
    before = values(model)
    with pytest.raises(ValueError, match=path.name) as error:
        initialize_from(model, path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1500
    assert_untouched(model, before)
    if kind == "keras" and change not in (group, not_finite):  # Keras is asked about these
        with pytest.raises(ValueError, match=f"{path.name} is no readable .keras file"):
            check_keras_file(path)


def of_library(path, libver):
    """The file, or for "latest" one with the same content in HDF5's newest format."""
    if libver == "latest":
        copy = path.with_name("copy.weights.h5")

        def rewrite(file):
            with h5py.File(copy, "w", libver="latest") as new:
                for name in file:
                    file.copy(name, new)

        damage(path, rewrite)
        if path.suffix == ".h5":
            return copy.rename(path)
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        content["model.weights.h5"] = copy.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_hdf5_of_the_newest_format_is_read(tmp_path, kind):
    source, model = classifier(), classifier()
    load_keras_file(model, of_library(save(source, tmp_path, kind), "latest"))
    assert_untouched(model, {k: values(source)[k] for k in values(model)})


# Zip


def rewritten(path, change=lambda content: None, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def test_a_deflated_keras_file_is_read(tmp_path):
    source, model = classifier(), classifier()
    path = rewritten(save(source, tmp_path, "keras"))
    load_keras_file(model, path)
    assert_untouched(model, {k: values(source)[k] for k in values(model)})
    check_keras_file(path)
    keras.models.load_model(path)


def bomb(content):
    content["model.weights.h5"] += bytes(100 * 2**20)


def big_settings(content):
    content["config.json"] += b" " * (100 * 2**20)


@pytest.mark.parametrize(
    ("change", "method", "said"),
    [
        (bomb, zipfile.ZIP_DEFLATED, "would unpack to"),
        (big_settings, zipfile.ZIP_DEFLATED, "would unpack to"),
        (lambda content: None, zipfile.ZIP_LZMA, "neither stored nor deflated"),
        (lambda content: None, zipfile.ZIP_BZIP2, "neither stored nor deflated"),
        (lambda content: content.pop("model.weights.h5"), zipfile.ZIP_STORED, "has no model.weig"),
    ],
)
def test_odd_archives(tmp_path, change, method, said):
    model = classifier()
    path = rewritten(save(model, tmp_path, "keras"), change, method)
    before = values(model)
    for read in (lambda: load_keras_file(model, path), lambda: check_keras_file(path)):
        with pytest.raises(ValueError, match=said) as error:
            read()
        assert str(path) in str(error.value)
    assert_untouched(model, before)


def test_an_encrypted_archive(tmp_path):
    path = save(classifier(), tmp_path, "keras")
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")  # of the directory: bit 0 of the flags at 8
    data[place + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is encrypted"):
        check_keras_file(path)


@pytest.mark.parametrize("kind", ["keras", "weights.h5", "pth"])
def test_pipes_and_folders(tmp_path, kind):
    model = classifier()
    (tmp_path / f"folder.{kind}").mkdir()
    os.mkfifo(tmp_path / f"pipe.{kind}")
    for name in ("folder", "pipe"):
        with pytest.raises(ValueError, match=f"{name}.{kind} .*is not a regular file"):
            LOADERS[kind](model, tmp_path / f"{name}.{kind}")
