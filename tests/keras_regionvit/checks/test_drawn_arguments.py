"""Drawn arguments: every public function gives a result, or one sentence of ours."""

import inspect
import os
import pathlib
import random
import traceback

import keras
import numpy as np
import pytest

import keras_regionvit
from keras_regionvit import ablations, layers
from keras_regionvit.ablations import attention, encoder
from keras_regionvit.export import Preprocessing, export_saved_model, saved_model
from keras_regionvit.layers.layer_norm import LayerNorm
from tests.support import served_model
from training import optimizers

DRAWS = int(os.environ.get("DRAWN_ARGUMENTS", "60"))  # 500 where time does not matter
ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
OURS = (f"{ROOT}/keras_regionvit/", f"{ROOT}/training/")
SEED = 16

WRONG = [
    None, True, False, -1, 0, 1, 2, 3, 1.5, 0.5, 1.0, -0.1, 10**30, float("inf"), float("nan"), 1j,
    "", "x", "7", "float32", "int32", b"7", (), (0, 1), (1.5, 1), (2, "2"), [], [7], {}, {"a": 1},
    object(), np.int64(2), np.float32(0.5), np.bool_(True), np.array(3), np.array([2, 2]),
    np.zeros((1, 8, 8, 3)), len, "a" * 5000, list(range(5000)),
]  # fmt: skip
RIGHT = {
    "embed_dims": [(8, 16), [8], np.array([8, 16])],
    "depths": [(1, 1), 1, (np.int64(1), 1), (1,)],
    "num_heads": [None, (1, 2), 2, np.int64(1), 1],
    "window_size": [2, np.int64(2), (2, 2), [3, 2], 3],
    "patch_size": [2, np.int64(1), 4],
    "stem": ["conv1", "conv3", "patch"],
    "mlp_ratio": [2, 0.5, np.float32(1)],
    "ratio": [2, 0.5],
    "input_shape": [(8, 8, 3), (None, None, 1), (9, np.int64(12), 3), None],
    "input_tensor": [None, None, keras.Input((8, 8, 3)), keras.Input((8, 8, 3), dtype="uint8")],
    "inputs": [None, keras.Input((8, 8, 3)), keras.Input((8, 8, 1)), keras.Input((8,))],
    "dtype": [None, "mixed_bfloat16", "float32", keras.DTypePolicy("float64")],
    "name": [None, "mine"],
    "downsample": ["depthwise", "dense3", "dense2", "patch_merging"],
    "position": ["relative", "absolute", "both", "none"],
    "attention": ["regional_to_local", "shifted_window"],
    "local_keys": ["own", "all"],
    "drop_path_rates": [(0.0,), (0.1, 0.2)],
    "embed_dim": [8, np.int64(8)],
    "region": [4, np.int32(4)],
    "image_channels": [3, 1],
    "kernel_size": [2, 3],
    "axes": [1, 2],
    "seed": [None, 3, np.int64(3)],
    "shift": [0, 1],
    "classes": [3, np.int64(5)],
    "classifier_activation": ["softmax", None, "sigmoid", keras.activations.relu],
    "pooling": [None, "avg", "max"],
    "x": [np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), "uint8"), np.zeros((8, 8, 1))],
    "data_format": [None, "channels_last"],
    "preds": [np.zeros((1, 1000)), np.zeros((1, 10))],
    "top": [1, np.int64(3)],
    "variant": ["tiny", "tiny_plus", "tiny_w14"],
    "size": [24, np.int64(24)],
    "crop_ratio": [0.875, 1, np.float32(1)],
    "mean": [(0.0,) * 3, [1, 2, 3], np.zeros(3)],
    "std": [(1.0,) * 3, np.ones(3)],
    "max_pixels": [100, np.int64(9)],
    "labels": [None, list("abcdefg"), served_model.LABELS],
    "preprocessing": [None, Preprocessing(24), Preprocessing(25)],
    "top_k": [5, np.int64(2)],
    "precision": [None, "float32"],
    "card": [None, {"a": 1}],
    "learning_rate": [0.1, keras.optimizers.schedules.CosineDecay(0.1, 9)],
    "weight_decay": [0.0, 0.1, np.float32(0.1)],
    "momentum": [0.9, 0.0],
    "decay": ["official", "kernels"],
    "rank": [1, np.int64(2)],
    "target_layer_names": [("qkv",), ["fc1", "fc2"], "proj"],
}  # fmt: skip
FLAGS = (
    "qkv_bias", "peg", "pyramid_norm", "gradient_checkpointing", "regional_tokens",
    "weight_sharing", "overlap", "relative_position", "include_top", "include_preprocessing",
    "features", "any_size", "tensors", "nesterov",
)  # fmt: skip
RATES = ("rate", "drop_path_rate", "dropout_rate", "attention_dropout_rate")
RIGHT |= {name: [True, False, np.bool_(False)] for name in FLAGS}
RIGHT |= {name: [0.0, 0.3, 0, np.float32(0.5)] for name in RATES}

TINY = {"embed_dims": (8, 16), "depths": (1, 1), "num_heads": (1, 2), "window_size": 2}


def new_backbone(**arguments):
    return keras_regionvit.RegionViTBackbone(**{**TINY, "input_shape": (8, 8, 3), **arguments})


def lora(rank, target_layer_names=("qkv",)):
    new_backbone().enable_lora(rank, target_layer_names)


def tiny(**arguments):
    """A function of the family, and what is costly left out of it."""
    return keras_regionvit.RegionViTTiny(**{"weights": None, "input_shape": (8, 8, 3), **arguments})


# What is drawn.
LAYERS = {
    name: getattr(layers, name) for name in layers.__all__ if inspect.isclass(getattr(layers, name))
} | {
    kind.__name__: kind
    for kind in (
        ablations.DenseDownsampling, ablations.PatchMerging, ablations.LocalStage,
        ablations.ShiftedWindowStage, ablations.OverlappedStage, ablations.SwitchedStage,
        ablations.AbsolutePosition, ablations.PatchTokenizer, attention.SwitchedAttention,
        encoder.SwitchedEncoder, LayerNorm,
    )
}  # fmt: skip
FUNCTIONS = {
    "RegionViTBackbone": new_backbone,
    "from_variant": keras_regionvit.RegionViTBackbone.from_variant,
    "RegionViTTiny": tiny,
    "build_classifier": keras_regionvit.build_classifier,
    "preprocess_input": keras_regionvit.preprocess_input,
    "decode_predictions": keras_regionvit.decode_predictions,
    "Preprocessing": Preprocessing,
    "export_saved_model": export_saved_model,
    "enable_lora": lora,
    "adamw": optimizers.adamw,
    "sgd": optimizers.sgd,
}
# Constructors whose parameters stand in **kwargs.
PARAMETERS = {
    "RegionViTBackbone": keras_regionvit.RegionViTBackbone,
    "RegionViTTiny": keras_regionvit.RegionViTTiny,
    "LocalStage": layers.RegionalToLocalStage,
    "ShiftedWindowStage": layers.RegionalToLocalStage,
    "OverlappedStage": layers.RegionalToLocalStage,
    "SwitchedStage": layers.RegionalToLocalStage,
    "SwitchedAttention": layers.RegionAttention,
    "SwitchedEncoder": layers.RegionalToLocalEncoder,
}


def drawn(rng, name, function, fixed):
    """Arguments for a function by name: most are right, one or two often are not."""
    described = PARAMETERS.get(name, function)
    everything = inspect.signature(described).parameters.values()
    known = [p for p in everything if p.name in RIGHT or p.name in fixed]
    required = {p.name for p in known if p.default is inspect.Parameter.empty}
    optional = [p.name for p in known if p.name not in required | fixed.keys()]
    names = {*required, *rng.sample(optional, min(len(optional), rng.randrange(4)))} - fixed.keys()
    arguments = {key: rng.choice(RIGHT[key]) for key in sorted(names)}
    for _ in range(rng.choice((0, 1, 1, 2)) if known else 0):
        arguments[rng.choice(known).name] = rng.choice(WRONG)
    return fixed | arguments


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    model = served_model.build()
    return {"model": model, "path": tmp_path_factory.mktemp("x") / "1", "backbone": new_backbone()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The `InputShape|Asking to truncate")
def test_a_result_or_one_sentence(scratch, monkeypatch):
    monkeypatch.setattr(saved_model, "replacing_folder", stop)
    monkeypatch.setattr(
        pytest.importorskip("keras.src.applications.imagenet_utils"),
        "CLASS_INDEX",
        {str(i): [f"n{i:08}", f"class {i}"] for i in range(1000)},
    )
    rng, found, faults = random.Random(SEED), {"results": 0, "sentences": 0}, []
    everything = {**FUNCTIONS, **LAYERS}
    for i in range(DRAWS):
        # models in every second draw, each layer in turn in the others
        names = list(FUNCTIONS) if i % 2 else list(LAYERS)
        name = names[(i // 2) % len(names)]
        function = everything[name]
        fixed = {
            "build_classifier": {"backbone": scratch["backbone"]},
            "adamw": {"model": scratch["model"]},
            "sgd": {"model": scratch["model"]},
            "RegionViTTiny": {"weights": None},
            "export_saved_model": {"model": scratch["model"], "path": scratch["path"]},
        }.get(name, {})
        arguments = drawn(rng, name, function, fixed)
        try:
            function(**arguments)
            found["results"] += 1
        except Written:
            found["results"] += 1
        except Exception as error:
            found["sentences"] += 1
            fault = fault_of(error)
            if fault:
                faults.append(f"{name}({str(arguments)[:300]}): {fault}")
        if i % 50 == 49:
            keras.backend.clear_session()
    assert not faults, "\n".join(faults)
    assert min(found.values()) > DRAWS // 6, found


class Written(Exception):
    """Stands for a SavedModel: all arguments were in order."""


def stop(path):
    raise Written


def fault_of(error):
    """What is wrong with an error; empty if it is one sentence of ours."""
    said = str(error)
    if not isinstance(error, (ValueError, TypeError)):
        return f"{type(error).__name__}: {said[:300]}"
    if "\n" in said or len(said) > 400:
        return f"not one short sentence: {said[:300]!r}"
    if "`" not in said and not said.startswith("The model '"):
        return f"names no argument: {said[:300]}"
    deepest = traceback.extract_tb(error.__traceback__)[-1].filename
    if not deepest.startswith(OURS) and not from_keras(error):
        return f"of {deepest}: {said[:300]}"
    return ""


def from_keras(error):
    """Keras' own words on its own arguments: the name of a layer, its dtype."""
    deepest = traceback.extract_tb(error.__traceback__)[-1].filename
    return "keras" in deepest and any(word in str(error) for word in ("`name`", "dtype"))
