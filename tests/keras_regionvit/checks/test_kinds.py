"""One function a kind of argument: what it takes, as what, and the sentence of all else."""

import json

import numpy as np
import pytest

from keras_regionvit.checks import kinds
from keras_regionvit.checks.models import check_input_shape, check_policy, check_stages


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        (kinds.positive_integer, np.int64(5), 5),
        (kinds.positive_integer, np.uint8(5), 5),
        (kinds.whole_number, 0, 0),
        (kinds.power_of_two, np.int32(4), 4),
        (kinds.positive_number, np.float32(0.5), 0.5),
        (kinds.positive_number, 3, 3.0),
        (kinds.rate, np.float64(0.25), 0.25),
        (kinds.rate, 0, 0.0),
        (kinds.rates, np.array([0, 0.5]), (0.0, 0.5)),
        (kinds.flag, np.bool_(True), True),
        (kinds.per_stage, np.array([2, 4]), (2, 4)),
        (kinds.per_stage, [np.int16(2)], (2,)),
    ],
)
def test_plain_values(kind, value, plain):
    found = kind("x", value)
    assert found == plain and type(found) is type(plain)
    assert json.dumps(found) == json.dumps(plain)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (
            kinds.positive_integer,
            [0, -1, True, 1.0, "1", None, 2**31, np.float32(2), [1]],
        ),
        (kinds.whole_number, [-1, 1.5, False, None, 2**32]),
        (kinds.power_of_two, [3, 0, 4.0, True]),
        (kinds.positive_number, [0, float("inf"), float("nan"), -1.0, True, "4", 10**400, 1j]),
        (kinds.rate, [1, 1.0, -0.1, float("nan"), True, None, "0.5"]),
        (kinds.rates, [(), 0.5, (0.5, 1.0), "00", None]),
        (kinds.flag, ["x", 1, 0, None, np.array([True])]),
        (kinds.per_stage, [(), 3, "77", (1.5, 1), (1, True), None, {1: 2}, np.array(3), (0, 1)]),
    ],
)
def test_all_else_is_refused(kind, values):
    for value in values:
        with pytest.raises(ValueError, match=r"^`x` must .* Received: x=") as error:
            kind("x", value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_one_for_all_stages():
    found = check_stages((64, 128), 2, 4, np.int64(7))
    assert found == {
        "embed_dims": (64, 128), "depths": (2, 2), "num_heads": (4, 4), "window_size": (7, 7)
    }  # fmt: skip


@pytest.mark.parametrize("value", ["a" * 999, list(range(999)), np.zeros((99, 99)), {1: "x\ny"}])
def test_what_is_shown_is_short_and_on_one_line(value):
    assert len(kinds.shown(value)) < 120 and "\n" not in kinds.shown(value)


def test_image_shapes():
    shape = check_input_shape(np.array([8, 9, 3]))
    assert shape == (8, 9, 3) and {type(side) for side in shape} == {int}
    for wrong in (32, "323", (8, 8), (8, 8, None), (8.0, 8, 3), (True, 8, 3), (0, 8, 3), None):
        with pytest.raises(ValueError, match=r"`input_shape` must be \(height, width, channels\)"):
            check_input_shape(wrong)


def test_dtypes_are_of_floats():
    assert check_policy("mixed_bfloat16").compute_dtype == "bfloat16"
    for wrong in ("int32", "bool", "float33", 32, ["float32"], {"a": 1}):
        with pytest.raises(ValueError, match="`dtype` must be a dtype policy of floats"):
            check_policy(wrong)
