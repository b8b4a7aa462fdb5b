"""Checkpoints that are damaged or meant to harm: one sentence, and the variables as they were."""

import io
import json
import math
import os
import zipfile

import keras
import numpy as np
import pytest

from tests.support.damage import (
    NONSENSE,
    cut_and_flipped,
    members,
    places,
    replaced,
    survey,
)
from training.engine import checkpoint
from training.engine.state import TrainState

META = {"step": 7, "sums": {"loss": 0.5}, "history": [{"epoch": 1, "loss": 0.1}]}


def small_state():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(30), keras.layers.Dropout(0.1)])
    optimizer = keras.optimizers.AdamW()
    optimizer.build(model.trainable_variables)
    return TrainState(None, model, optimizer, None)


@pytest.fixture
def saved(tmp_path):
    """`(state, path of its checkpoint, what its variables are)`."""
    state, path = small_state(), tmp_path / "last.npz"
    checkpoint.save(path, state.variables(), META)
    return state, path, numbers(state)


def numbers(state):
    return [np.array(v) for group in state.variables().values() for v in group]


def assert_same(state, before):
    for value, wanted in zip(numbers(state), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


def rewrite(path, change, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def array(value):
    out = io.BytesIO()
    np.save(out, value, allow_pickle=True)
    return out.getvalue()


def header(text):
    """An array whose header is this text."""
    text = text.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def refuse(state, path, before, said="last.npz is damaged"):
    with pytest.raises(ValueError, match=said) as error:
        state.restore(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    assert_same(state, before)


def test_random_damage(saved):
    state, path, before = saved
    size = path.stat().st_size

    def check(refused):
        if not refused:
            assert all(np.isfinite(value).all() for value in numbers(state))
            variables = [v for group in state.variables().values() for v in group]
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        assert_same(state, before)

    survey(path, lambda: state.restore(path), members(cut_and_flipped), 4 * size, check)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.full((4, 30), "x"), "last.npz is"),
        (np.full((4, 30), 0.5, object), "last.npz is"),
        (np.full((4, 30), 1j), "last.npz is"),
        (np.full((4, 30), np.nan, "float32"), "not finite as float32"),
        (np.full((4, 30), np.inf, "float32"), "not finite as float32"),
        (np.full((4, 30), 7, "int32"), "int32 .* for kernel float32"),
        (np.full((120,), 7, "float32"), "for kernel float32"),
        (np.zeros((4, 30), "datetime64[s]"), "last.npz is"),
        (np.zeros((4, 3000), "float32"), "holds 48128 bytes for kernel"),
    ],
)
@pytest.mark.parametrize("group", ["model/0", "optimizer/4"])
def test_an_array_that_is_none(saved, value, said, group):
    """In the middle and at the end: nothing of what comes before is assigned."""
    state, path, _ = saved
    for variable in state.model.variables:
        variable.assign(variable + 1)  # other than in the file
    before = numbers(state)
    last = len(state.optimizer.variables) - 1
    name = group if group == "model/0" else f"optimizer/{last}"
    if name != "model/0":
        said = "last.npz is"
    rewrite(path, lambda content: content.update({f"{name}.npy": array(value)}))
    refuse(state, path, before, said)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x00\x00\x00",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 30"),  # TokenError
        header("(" * 5000),  # MemoryError or RecursionError of Python's parser
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 9999999), }\n"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"),
        header("__import__('os').abort()"),
    ],
)
@pytest.mark.parametrize("name", ["model/0.npy", "meta.npy"])
def test_headers(saved, data, name):
    state, path, before = saved
    rewrite(path, lambda content: content.update({name: data}))
    refuse(state, path, before, "last.npz is")


def test_nothing_is_unpacked(saved):
    """A compressed member is refused, whatever it says of its size."""
    state, path, before = saved
    rewrite(path, lambda content: None, zipfile.ZIP_DEFLATED)
    refuse(state, path, before, "is compressed or encrypted")


@pytest.mark.parametrize("new", NONSENSE, ids=lambda value: repr(value)[:20])
def test_nonsense_in_the_text(saved, new):
    """In the place of any value of it: a sentence, or a number as good as another."""
    state, path, before = saved
    with np.load(path) as file:
        text = json.loads(str(file["meta"]))
    for place in places(text):
        changed = json.dumps(replaced(text, place, new))
        rewrite(path, lambda content, text=changed: content.update({"meta.npy": array(text)}))
        try:
            state.restore(path)
        except ValueError as error:
            assert "last.npz " in str(error) and "\n" not in str(error)
            assert len(str(error)) < 1000
            assert_same(state, before)
        else:
            assert (place[0] == "meta" and len(place) > 1) or changed == json.dumps(text), place
            assert type(state.step) is int and 0 <= state.step < 2**53
            assert all(type(x) in (int, float) and math.isfinite(x) for x in state.sums.values())
            rows = [value for row in state.history for value in row.values()]
            assert all(type(x) in (int, float) for x in rows)


def test_pipes_folders_and_deep_texts(saved):
    state, path, before = saved
    deep = "[" * 100_000
    rewrite(path, lambda content: content.update({"meta.npy": array(np.array(deep))}))
    refuse(state, path, before)
    path.unlink()
    path.mkdir()
    refuse(state, path, before)
    path.rmdir()
    os.mkfifo(path)
    refuse(state, path, before)
