"""What each switch of section 4.4 does: against slow NumPy, by Jacobians, and what is refused."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit import RegionViTBackbone
from keras_regionvit.ablations.attention import SwitchedAttention
from keras_regionvit.ablations.downsample import DenseDownsampling, PatchMerging
from keras_regionvit.ablations.encoder import SwitchedEncoder
from keras_regionvit.ablations.local import LocalEncoder, LocalStage
from keras_regionvit.ablations.overlap import cut, mean_of_copies
from keras_regionvit.ablations.shifted_window import ShiftedWindowEncoder, ShiftedWindowStage
from keras_regionvit.ablations.stage import OverlappedStage, SwitchedStage
from keras_regionvit.ablations.tokens import AbsolutePosition, PatchTokenizer
from keras_regionvit.backbone import SWITCHES
from tests.oracles import numpy_ablations, numpy_regionvit

CHANNELS, HEADS, WINDOW = 8, 2, 3
OFFICIAL = {
    "regional_norm": "norm0",
    "local_norm": "norm1",
    "mlp_norm": "norm2",
    "attention/qkv": "attn.qkv",
    "attention/proj": "attn.proj",
    "regional_attention/qkv": "regional.attn.qkv",
    "regional_attention/proj": "regional.attn.proj",
    "mlp/fc1": "mlp.fc1",
    "mlp/fc2": "mlp.fc2",
}


def new_stage(kind=SwitchedStage, window=WINDOW, depth=1, **arguments):
    """A stage whose weights are of order one over the root of their fan-in."""
    stage = kind(CHANNELS, HEADS, window, drop_path_rates=(0.0,) * depth, **arguments)
    stage.build(None)
    randomise(stage)
    return stage


def randomise(layer):
    rng = np.random.default_rng(0)
    for variable in layer.weights:
        scale = CHANNELS**-0.5 if len(variable.shape) == 2 else 1.0
        variable.assign(scale * rng.standard_normal(variable.shape))


def maps_of(height, width, grid, seed=1):
    """A regional and a local map of one image."""
    rng = np.random.default_rng(seed)
    shapes = [(1, *grid, CHANNELS), (1, height, width, CHANNELS)]
    return tuple(rng.standard_normal(shape).astype("float32") for shape in shapes)


def official(encoder):
    """The weights of an encoder as an official file names them; the table in plain order."""
    arrays = {}
    for variable in encoder.weights:
        value = np.asarray(variable.value, "float64")
        if variable.path.endswith("/position_bias_table"):
            arrays["attn.rel_pos"] = value
        else:
            module, _, leaf = variable.path.rpartition("/")
            name = next(v for k, v in OFFICIAL.items() if module.endswith(f"/{k}"))
            arrays[f"{name}.{'weight' if leaf in ('kernel', 'gamma') else 'bias'}"] = value.T
    return arrays


# --- against slow NumPy --------------------------------------------------------------------

FITTING, ODD = (6, 9, (2, 3)), (5, 7, (2, 3))
ORACLE = {
    "no regional tokens": (LocalStage, {}, FITTING),
    "no regional tokens, no bias": (LocalStage, {"relative_position": False}, FITTING),
    "own keys": (SwitchedStage, {}, FITTING),
    "all keys": (SwitchedStage, {"local_keys": "all"}, FITTING),
    "no sharing": (SwitchedStage, {"weight_sharing": False}, FITTING),
    "no bias": (SwitchedStage, {"relative_position": False}, FITTING),
    "overlap": (OverlappedStage, {}, FITTING),
    "overlap, a map of any size": (OverlappedStage, {}, ODD),
    "overlap, all keys": (OverlappedStage, {"local_keys": "all", "weight_sharing": False}, ODD),
    "overlap, a window of even size": (OverlappedStage, {"window": 4}, (7, 8, (2, 2))),
}


def expected(stage, regional, local, window, depth):
    reach = window // 2 if isinstance(stage, OverlappedStage) else 0
    for encoder in stage.encoders[:depth]:
        all_keys = getattr(encoder, "local_keys", "own") == "all"
        regional, local = numpy_ablations.run_encoder(
            official(encoder), regional, local, window, HEADS, reach, all_keys
        )
    return regional, local


@pytest.mark.parametrize("name", ORACLE)
def test_stage_is_the_numpy_one(name):
    kind, arguments, (height, width, grid) = ORACLE[name]
    stage = new_stage(kind, depth=2, **arguments)
    regional, local = maps_of(height, width, grid)
    whole = issubclass(kind, SwitchedStage)
    *found_regional, found_local = stage((regional, local) if whole else (local,))
    wanted_regional, wanted_local = expected(
        stage, regional[0] if whole else None, local[0], stage.window_size, depth=2
    )
    np.testing.assert_allclose(found_local[0], wanted_local, rtol=2e-5, atol=2e-5)
    assert len(found_regional) == whole
    if whole:
        np.testing.assert_allclose(found_regional[0][0], wanted_regional, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["no regional tokens", "all keys", "no sharing"])
def test_padded_tokens_are_no_keys_but_in_the_corner(name):
    kind, arguments, _ = ORACLE[name]
    stage = new_stage(kind, **arguments)
    regional, local = maps_of(*ODD)
    whole = kind is SwitchedStage
    found = np.asarray(stage((regional, local) if whole else (local,))[-1][0])
    _, wanted = expected(stage, regional[0] if whole else None, local[0], WINDOW, depth=1)
    np.testing.assert_allclose(found[:3], wanted[:3], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(found[3:, :6], wanted[3:, :6], rtol=2e-5, atol=2e-5)
    assert (np.abs(found[3:, 6:] - wanted[3:, 6:]) > 1e-4).any()


@pytest.mark.parametrize(("kernel_size", "size"), [(3, (5, 8)), (2, (4, 8)), (2, (1, 7))])
def test_dense_downsampling(kernel_size, size):
    layer = DenseDownsampling(CHANNELS, kernel_size)
    x = np.random.default_rng(0).standard_normal((1, *size, CHANNELS)).astype("float32")
    found = layer(x)
    randomise(layer)
    found = layer(x)
    norm = {"weight": np.asarray(layer.norm.gamma), "bias": np.asarray(layer.norm.beta)}
    y = numpy_regionvit.gelu(numpy_regionvit.norm(norm, x[0].astype("float64"), 1e-5))
    if kernel_size == 2:
        y = np.pad(y, [(0, size[0] % 2), (0, size[1] % 2), (0, 0)])
    conv = {"weight": np.asarray(layer.conv.kernel).transpose(3, 2, 0, 1)}
    conv["bias"] = np.asarray(layer.conv.bias)
    y = numpy_regionvit.convolution(conv, y, 2, kernel_size == 3)
    assert found.shape == layer.compute_output_shape(x.shape) == (1, *y.shape)
    np.testing.assert_allclose(found[0], y, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("window", [1, 2, 3, 4])
def test_mean_of_copies_undoes_cut(window):
    maps = np.random.default_rng(0).standard_normal((2, 2 * window, 5 * window, 3))
    windows = cut(maps.astype("float32"), (2, 5), window)
    assert windows.shape == (2, 10, (window + 2 * (window // 2)) ** 2, 3)
    np.testing.assert_allclose(mean_of_copies(windows, (2, 5), window), maps, rtol=1e-6)


# --- what sees what ------------------------------------------------------------------------


def seen(stage, place, maps, output=-1, source=-1):
    """The places of a map which an output token depends on, as a boolean map."""
    inputs = [tf.constant(x) for x in maps]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = stage(tuple(inputs))[output][0, place[0], place[1]]
        y = tf.reduce_sum(y * np.random.default_rng(2).standard_normal(CHANNELS))
    gradient = tape.gradient(y, inputs[source])
    return np.abs(np.zeros(inputs[source].shape) if gradient is None else gradient)[0].max(-1) > 0


def block(rows, columns, shape=(6, 9)):
    """True at `rows` and `columns`, ranges with their ends."""
    found = np.zeros(shape, bool)
    found[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = True
    return found


def test_without_regional_tokens_nothing_crosses_a_region():
    local = maps_of(*FITTING)[1:]
    stage = new_stage(LocalStage, depth=3)
    np.testing.assert_array_equal(seen(stage, (1, 4), local), block((0, 2), (3, 5)))
    # with them it does, from the second encoder on
    assert seen(new_stage(depth=2), (1, 4), maps_of(*FITTING)).all()


@pytest.mark.parametrize(("keys", "everyone"), [("own", False), ("all", True)])
def test_all_keys_reach_every_region_in_one_local_attention(keys, everyone):
    stage = new_stage(local_keys=keys, weight_sharing=False)
    for variable in stage.encoders[0].regional_attention.proj.weights:  # local attention alone
        variable.assign(keras.ops.zeros_like(variable))
    for output in (0, 1):  # a regional and a local token of the region in row 1, column 2
        place = (1, 2) if output == 0 else (4, 7)
        found = seen(stage, place, maps_of(*FITTING), output=output, source=0)
        own = block((1, 1), (2, 2), (2, 3))
        np.testing.assert_array_equal(found, np.ones_like(own) if everyone else own)
        np.testing.assert_array_equal(
            seen(stage, place, maps_of(*FITTING), output=output), block((3, 5), (6, 8))
        )


def test_overlap_reaches_the_neighbours():
    maps = maps_of(*FITTING)
    plain, overlapped = new_stage(), new_stage(OverlappedStage)
    np.testing.assert_array_equal(seen(plain, (1, 1), maps), block((0, 2), (0, 2)))
    # in the middle of its region: in one window of 5, which begins off the map
    np.testing.assert_array_equal(seen(overlapped, (1, 1), maps), block((0, 3), (0, 3)))
    # at the border: in two
    both = block((0, 3), (0, 3)) | block((0, 3), (2, 6))
    np.testing.assert_array_equal(seen(overlapped, (1, 2), maps), both)


def test_shifted_windows():
    local = maps_of(*FITTING)[1:]
    plain = new_stage(ShiftedWindowStage)
    np.testing.assert_array_equal(seen(plain, (1, 4), local), block((0, 2), (3, 5)))
    shifted = new_stage(ShiftedWindowStage, depth=2)
    shifted.encoders = shifted.encoders[1:]  # windows begin at 1, and the map's edges stay apart
    np.testing.assert_array_equal(seen(shifted, (1, 4), local), block((1, 3), (4, 6)))
    np.testing.assert_array_equal(seen(shifted, (0, 0), local), block((0, 0), (0, 0)))
    np.testing.assert_array_equal(seen(shifted, (5, 0), local), block((4, 5), (0, 0)))
    # a map with a side that fits into one window is not shifted
    narrow = maps_of(3, 9, (1, 3))[1:]
    np.testing.assert_array_equal(seen(shifted, (1, 4), narrow), block((0, 2), (3, 5), (3, 9)))


# --- weights -------------------------------------------------------------------------------


def qkv_kernels(**arguments):
    backbone = RegionViTBackbone((8,), (1,), num_heads=(2,), window_size=2, **arguments)
    return sorted(v.path for v in backbone.weights if v.path.endswith("qkv/kernel"))


def test_shared_weights_are_one_variable():
    place = "stage1/encoder1"
    assert qkv_kernels() == [f"{place}/attention/qkv/kernel"]
    assert qkv_kernels(weight_sharing=False) == [
        f"{place}/attention/qkv/kernel",
        f"{place}/regional_attention/qkv/kernel",
    ]
    tables = [v for v in new_stage(weight_sharing=False).weights if "table" in v.path]
    assert len(tables) == 1


def test_equal_weights_are_as_good_as_shared_ones():
    shared, apart = new_stage(), new_stage(weight_sharing=False)
    values = {v.path.partition("/")[2]: v for v in shared.weights}
    for variable in apart.weights:
        variable.assign(values[variable.path.partition("/")[2].replace("regional_att", "att")])
    maps = maps_of(*FITTING)
    for a, b in zip(shared(maps), apart(maps), strict=True):
        np.testing.assert_array_equal(a, b)
    apart.encoders[0].regional_attention.qkv.kernel.assign_add(np.ones((8, 24)))
    assert np.abs(shared(maps)[0] - apart(maps)[0]).max() > 1e-3


def test_absolute_position_is_added():
    layer = AbsolutePosition()
    x = np.ones((2, 3, 5, 4), "float32")
    layer(x)
    value = np.random.default_rng(0).standard_normal((3, 5, 4)).astype("float32")
    layer.embedding.assign(value)
    np.testing.assert_array_equal(layer(x), x + value)
    with pytest.raises(ValueError, match=r"fixes the size .*\(3, 5, 4\).*\(5, 3, 4\)"):
        layer(x.transpose(0, 2, 1, 3))
    with pytest.raises(ValueError, match=r"fixes the size .* must be known.*\(None, 5, 4\)"):
        AbsolutePosition().build((None, None, 5, 4))


# --- arguments -----------------------------------------------------------------------------

NO_REGIONS = {"regional_tokens": False}
REFUSED = [
    ({"regional_tokens": "no"}, r"`regional_tokens` must be True or False.*'no'"),
    ({"weight_sharing": None}, r"`weight_sharing` must be True or False"),
    ({"local_keys": "some"}, r"`local_keys` must be 'own' or 'all'.*local_keys='some'"),
    ({"downsample": "dense"}, r"`downsample` must be 'depthwise', 'dense3', 'dense2' or 'patch_m"),
    ({"position": True}, r"`position` must be 'relative', 'none', 'absolute' or 'both'"),
    ({"overlap": 7}, r"`overlap` must be True or False"),
    ({"attention": "swin"}, r"`attention` must be 'regional_to_local' or 'shifted_window'"),
    ({"attention": "shifted_window"}, r"`attention='shifted_window'` .*`regional_tokens=False`"),
    ({**NO_REGIONS, "weight_sharing": False}, r"`weight_sharing`=False needs regional tokens"),
    ({**NO_REGIONS, "local_keys": "all"}, r"`local_keys`='all' needs regional tokens"),
    ({**NO_REGIONS, "overlap": True}, r"`overlap`=True needs regional tokens"),
    ({"position": "absolute"}, r"`position='absolute'` fixes the size.*`input_shape`.*\(None, "),
    ({"position": "both", "input_shape": (32, None, 3)}, r"`position='both'` fixes the size"),
    ({"stem": "patch", "patch_size": 3}, r"`patch_size` must be a power of two"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RegionViTBackbone((8,), (1,), num_heads=(2,), window_size=2, **arguments)


def test_imported_only_if_asked_for():
    code = (
        "import sys; from keras_regionvit import RegionViTBackbone, build_classifier; "
        "new = lambda **kwargs: build_classifier(RegionViTBackbone((8,), (1,), **kwargs), 2); "
        "loaded = lambda: any('regionvit.ablations' in name for name in sys.modules); "
        "new(); print(loaded()); new(overlap=True); print(loaded())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


LAYERS = {
    "stage": (SwitchedStage(8, 2, 3, weight_sharing=False, local_keys="all",
                            relative_position=False), maps_of(*FITTING)),
    "encoder": (SwitchedEncoder(8, 2, 3, weight_sharing=False, local_keys="all"), None),
    "overlapped": (OverlappedStage(8, 2, 3, local_keys="all"), maps_of(*FITTING)),
    "local": (LocalStage(8, 2, 3, relative_position=False, peg=True), maps_of(*FITTING)[1:]),
    "local encoder": (LocalEncoder(8, 2, 3, mlp_ratio=2.0, relative_position=False), None),
    "shifted": (ShiftedWindowStage(8, 2, 3, drop_path_rates=(0.1, 0.2)), maps_of(*FITTING)[1:]),
    "shifted encoder": (ShiftedWindowEncoder(8, 2, 3, shift=1), None),
    "attention": (SwitchedAttention(8, 2, 3, relative_position=False), None),
    "dense": (DenseDownsampling(8, 2), maps_of(*FITTING)[1]),
    "merging": (PatchMerging(8), maps_of(*FITTING)[1]),
    "patches": (PatchTokenizer(8, 2, 3), np.ones((1, 5, 7, 3), "float32")),
    "position": (AbsolutePosition(), maps_of(*FITTING)[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_round_trip(name):
    layer, inputs = LAYERS[name]
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(copy) is type(layer) and copy.get_config() == layer.get_config()
    if inputs is not None:
        found = layer(inputs)
        copy(inputs)
        assert [v.path for v in copy.weights] == [v.path for v in layer.weights]
        copy.set_weights(layer.get_weights())
        for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(copy(inputs)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_switches_are_the_arguments():
    backbone = RegionViTBackbone((8,), (1,))
    assert {name: backbone.get_config()[name] for name in SWITCHES} == SWITCHES
