"""Beginning a model with trained weights: which tensors come from the file, and which may not."""

import json
import re
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_regionvit import RegionViTBackbone, build_classifier, official_state_dict
from keras_regionvit.weights import pretrained
from keras_regionvit.weights.keras_file import load_keras_file
from keras_regionvit.weights.pretrained import initialize_from
from tests.keras_regionvit.weights.test_pretrained import write_release
from tests.support import synthetic

HEAD = ["predictions/kernel", "predictions/bias"]
RNG = np.random.default_rng(0)
KINDS = ("pth", "weights.h5", "keras")


def classifier(classes=5, border=None, **arguments):
    """A small classifier, its weights all different; `border` puts layers before the backbone."""
    arguments = {"window_size": 3, "peg": True, "drop_path_rate": 0.1, **arguments}
    backbone = RegionViTBackbone((16, 32), (1, 1), input_shape=(24, 36, 3), **arguments)
    inputs = keras.Input((24, 36, 3))
    if border is not None:
        inputs = keras.Input((24 - 2 * border, 36 - 2 * border, 3))
        x = keras.layers.ZeroPadding2D(border)(inputs)
        x = keras.layers.Normalization(mean=np.ones(3), variance=np.ones(3))(x)
        model = build_classifier(backbone, classes, inputs=x)
    else:
        model = build_classifier(backbone, classes, inputs=inputs)
    for variable in model.weights:  # norms and biases too, and of no two models alike
        variable.assign(RNG.standard_normal(variable.shape))
    return model


def save(model, folder, kind):
    """A file of the model; what no official file holds apart."""
    path = folder / f"model.{kind}"
    if kind == "pth":
        write_release(path, official_state_dict(model))
    elif kind == "keras":
        model.save(path)
    else:
        model.save_weights(path)
    return path


def values(model):
    return {v.path: keras.ops.convert_to_numpy(v.value) for v in model.weights}


def assert_loaded(model, expected, before, kept):
    """That all is `expected`, but what is `kept` as it was `before`."""
    for path, value in values(model).items():
        wanted = before[path] if path in kept else expected[path]
        np.testing.assert_array_equal(value, wanted, err_msg=path)


def assert_untouched(model, before):
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)


@pytest.fixture(scope="module", params=KINDS)
def trained(request, tmp_path_factory):
    """A model and a file of it, of each kind."""
    model = classifier(border=2)
    return model, save(model, tmp_path_factory.mktemp("trained"), request.param)


@pytest.mark.parametrize("border", [None, 1])
def test_every_tensor_is_loaded(trained, border):
    source, path = trained
    model = classifier(border=border, drop_path_rate=0.0)
    before = values(model)
    assert initialize_from(model, path) == []
    assert_loaded(model, values(source), before, kept=())


@pytest.mark.parametrize("classes", [1, 4, 32])
def test_a_head_of_other_classes_stays(trained, classes):
    source, path = trained
    model = classifier(classes, border=0)
    before = values(model)
    assert initialize_from(model, str(path)) == HEAD
    assert_loaded(model, values(source), before, kept=HEAD)


def test_a_model_without_a_head(trained):
    source, path = trained
    whole = classifier()
    headless = keras.Model(whole.input, whole.get_layer("avg_pool").output)
    assert initialize_from(headless, path) == []
    assert_loaded(headless, values(source), {}, kept=())


def test_other_windows_are_resized(tmp_path):
    """From our files and from official ones alike, with the head of another size beside."""
    source = classifier()
    found = []
    for kind in KINDS:
        model = classifier(classes=7, window_size=(4, 5))
        assert initialize_from(model, save(source, tmp_path, kind)) == HEAD
        found.append(values(model))
    table, kernel = (
        next(v for k, v in found[0].items() if k.endswith(name))
        for name in (
            "stage2/encoder1/attention/position_bias_table",
            "regional_tokenizer/conv/kernel",
        )
    )
    assert table.shape[1] == 81 and kernel.shape[:2] == (16, 16)
    for path in set(found[0]) - set(HEAD):
        for other in found[1:]:
            np.testing.assert_allclose(other[path], found[0][path], atol=1e-5, err_msg=path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"peg": False}, {"pth": "unexpected .*peg", "own": "peg/.* is unexpected"}),
        ({"mlp_ratio": 2.0}, {"pth": "of another shape .*fc1", "own": "fc1/.* has the shape"}),
    ],
)
def test_another_model_is_refused(trained, arguments, said):
    _, path = trained
    model = classifier(classes=4, **arguments)
    before = values(model)
    sentence = said["pth" if path.suffix == ".pth" else "own"]
    with pytest.raises(ValueError, match=sentence) as error:
        initialize_from(model, path)
    assert path.name in str(error.value) and len(str(error.value)) < 1500
    assert_untouched(model, before)


def test_a_pyramid_without_norms_in_the_file(trained):
    """Those of a `.pth` become the identity, as its release does; ours leave them alone."""
    source, path = trained
    model = classifier(pyramid_norm=True)
    before, expected = values(model), values(source)
    norms = [name for name in before if re.match("P[2-5]/", name)]
    assert norms
    for name in norms:
        expected[name] = np.full_like(before[name], name.endswith("gamma"))
    own = path.suffix != ".pth"
    assert initialize_from(model, path) == (norms if own else [])
    assert_loaded(model, expected, before, kept=norms if own else [])


def test_a_deeper_model_is_refused(tmp_path):
    """A file with more encoders than the model is not cut off."""
    deep = build_classifier(
        RegionViTBackbone((16, 32), (1, 2), window_size=3, input_shape=(24, 36, 3)), 5
    )
    flat = build_classifier(
        RegionViTBackbone((16, 32), (1, 1), window_size=3, input_shape=(24, 36, 3)), 5
    )
    before = values(flat)
    for kind in KINDS:
        with pytest.raises(ValueError, match="unexpected"):
            initialize_from(flat, save(deep, tmp_path, kind))
    assert_untouched(flat, before)


def test_an_official_file_without_a_head(tmp_path):
    source = classifier()
    arrays = {k: v for k, v in official_state_dict(source).items() if not k.startswith("head.")}
    write_release(tmp_path / "model.pth", arrays)
    model = classifier()
    before = values(model)
    assert initialize_from(model, tmp_path / "model.pth") == HEAD
    assert_loaded(model, values(source), before, kept=HEAD)


def test_a_compiled_model(tmp_path):
    """The state of an optimizer, in the file or of the model, plays no part."""
    source, model = classifier(), classifier()
    source.compile("adam", "mse")
    source.optimizer.build(source.trainable_variables)
    path = save(source, tmp_path, "weights.h5")
    model.compile("sgd", "mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(7)
    assert initialize_from(model, path) == []
    assert_loaded(model, values(source), {}, kept=())
    assert int(model.optimizer.iterations) == 7


@pytest.mark.parametrize(("there", "here"), [("bfloat16", None), (None, "bfloat16")])
def test_half_precision_files(tmp_path, there, here):
    source, model = classifier(dtype=there), classifier(dtype=here)
    expected = {k: v.astype("float32") for k, v in values(source).items()}
    initialize_from(model, save(source, tmp_path, "keras"))
    for path, value in values(model).items():
        np.testing.assert_allclose(value.astype("float32"), expected[path], rtol=2**-8)


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
def test_files_of_version_0_1_0(golden, tmp_path, kind):
    path = golden / "saved_0_1_0" / f"classifier_any.{kind}"
    saved = keras.models.load_model(path.with_name("classifier_any.keras"))
    config = saved.layers[1].get_config()
    model = build_classifier(RegionViTBackbone.from_config(config), saved.output.shape[-1] + 1)
    assert initialize_from(model, path) == HEAD
    expected = [v.numpy() for v in saved.weights[:-2]]
    for variable, value in zip(model.weights[:-2], expected, strict=True):
        np.testing.assert_array_equal(variable, value)


def damage(path, change):
    """Changes the HDF5 file at `path`, or the one inside of a `.keras` file."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file)
        return
    inner = path.with_name("inner.weights.h5")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    inner.write_bytes(members["model.weights.h5"])
    damage(inner, change)
    members["model.weights.h5"] = inner.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def integers(file):
    value = file["layers/layer_normalization/vars/0"][()]
    del file["layers/layer_normalization/vars/0"]
    file["layers/layer_normalization/vars/0"] = value.astype("int64")


def elsewhere(file):
    """A link out of the file."""
    del file["layers/layer_normalization/vars/0"]
    file["layers/layer_normalization/vars/0"] = h5py.ExternalLink("other.h5", "numbers")


def stored_elsewhere(file):
    """A tensor whose numbers are in another file."""
    del file["layers/layer_normalization/vars/0"]
    file.create_dataset(
        "layers/layer_normalization/vars/0", (32,), "f4", external=[("/etc/passwd", 0, 128)]
    )


def flat(file):
    """A bias table that is none."""
    name = next(n for n in names(file) if n.endswith("/attention/vars/0"))
    del file[name]
    file[name] = np.zeros((1, 24), "float32")


def names(file):
    found = []
    file.visit(found.append)
    return found


@pytest.mark.parametrize("kind", ["keras", "weights.h5"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (integers, "dtype int64"),
        (elsewhere, "it has a link that is no hard link"),
        (stored_elsewhere, "it has numbers in another file"),
        (flat, r"has the shape \(1, 24\) and dtype float32 for \(1, 25\)"),
    ],
)
def test_odd_files_change_nothing(tmp_path, kind, change, said):
    path = save(classifier(), tmp_path, kind)
    damage(path, change)
    model = classifier(classes=9)
    before = values(model)
    with pytest.raises(ValueError, match=said) as error:
        initialize_from(model, path)
    assert str(error.value).startswith(f"{path} does not hold the weights of the model")
    assert "\n" not in str(error.value)
    assert_untouched(model, before)


def test_a_head_that_differs_in_more_than_its_classes(tmp_path):
    """It is an error, not another head."""
    path = save(classifier(), tmp_path, "weights.h5")
    damage(path, lambda file: file.move("layers/dense", "layers/gone"))
    with pytest.raises(ValueError, match="layers/dense/vars/0 is missing"):
        initialize_from(classifier(), path)
    path = save(classifier(), tmp_path, "weights.h5")

    def narrow(file):
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.zeros((31, 5), "float32")

    damage(path, narrow)
    with pytest.raises(ValueError, match=r"layers/dense/vars/0 has the shape \(31, 5\)"):
        initialize_from(classifier(classes=6), path)


@pytest.mark.parametrize(
    ("weights", "variant", "said"),
    [
        ("imagenet", None, "exists only for tiny, small, medium, base, .*variant=None"),
        ("imagenet", "", "exists only for"),
        ("imagenet", "small_plus", "variant='small_plus'"),
        ("none.keras", None, "does not exist: 'none.keras'"),
        ("model.onnx", None, "weights='model.onnx'"),
        (7, None, "Received: int"),
        ("http://127.0.0.1:9/a.weights.h5", None, "cannot be downloaded"),
    ],
)
def test_weights_that_name_nothing(tmp_path, monkeypatch, weights, variant, said):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    model = classifier()
    before = values(model)
    with pytest.raises(ValueError, match=said):
        initialize_from(model, weights, variant)
    assert_untouched(model, before)


def test_imagenet_of_a_row_with_windows_of_14(monkeypatch):
    """The row without `_w14` is what is released; 1,000 classes keep the released head."""
    asked = []
    released = classifier(classes=1000)

    def fetch(variant):
        asked.append(variant)
        return released

    monkeypatch.setattr(pretrained, "_released_classifier", fetch)
    same, other = classifier(classes=1000, window_size=4), classifier(classes=10)
    assert initialize_from(same, "imagenet", "small_w14") == []
    assert initialize_from(other, "imagenet", "small") == HEAD
    assert asked == ["small", "small"]
    for path in HEAD:
        np.testing.assert_array_equal(values(same)[path], values(released)[path])


def test_url_of_a_keras_file(tmp_path, monkeypatch):
    """What a URL names is told by its path, without a query or checksum."""
    source = classifier()
    path = save(source, tmp_path, "weights.h5")
    monkeypatch.setattr(pretrained, "download", lambda url: str(path))
    model = classifier(classes=2)
    assert initialize_from(model, "https://example.org/model.weights.h5?download=1") == HEAD
    assert_loaded(model, values(source), values(model), kept=HEAD)


def test_strict_loading_takes_no_other_head(tmp_path):
    path = save(classifier(), tmp_path, "keras")
    model = classifier(classes=6)
    before = values(model)
    with pytest.raises(ValueError, match=r"layers/dense/vars/0 has the shape \(32, 5\)"):
        load_keras_file(model, path)
    assert_untouched(model, before)


def test_configuration_of_a_keras_file_is_not_read(tmp_path):
    path = save(classifier(), tmp_path, "keras")
    with zipfile.ZipFile(path) as archive:
        weights = archive.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda", "module": "os"}))
        archive.writestr("model.weights.h5", weights)
    assert initialize_from(classifier(classes=3), tmp_path / "odd.keras") == HEAD


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short(tmp_path, kind):
    path = save(classifier(), tmp_path, kind)
    short = tmp_path / f"short.{kind}"
    shutil.copyfile(path, short)
    with open(short, "rb+") as file:
        file.truncate(short.stat().st_size // 2)
    model = classifier()
    before = values(model)
    with pytest.raises(ValueError, match=r"short\."):
        initialize_from(model, short)
    assert_untouched(model, before)


def test_synthetic_weights_of_the_release(tmp_path):
    """A whole official layout, converted, into a model with layers before its backbone."""
    source = classifier(classes=3, peg=False)
    arrays = synthetic.state_dict({k: v.shape for k, v in official_state_dict(source).items()})
    write_release(tmp_path / "model.pth", arrays)
    model = classifier(classes=3, border=1, peg=False)
    assert initialize_from(model, tmp_path / "model.pth") == []
    for key, value in official_state_dict(model).items():
        np.testing.assert_array_equal(value, arrays[key], err_msg=key)
