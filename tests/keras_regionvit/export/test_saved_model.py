"""SavedModels of encoded images: what they answer, and what they never do."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import cbook

import keras_regionvit
from keras_regionvit.export import Preprocessing, export_saved_model
from keras_regionvit.export.model_card import CARD, read_card
from keras_regionvit.export.structure import classifier_layers, rebuilt
from keras_regionvit.export.warmup import WARMUP
from keras_regionvit.imagenet import MEAN, STD
from keras_regionvit.images.preprocessing import normalize
from tests.support import served_model
from tests.support.photos import BAD, KINDS, PHOTOS, evaluated
from tests.support.served_model import LABELS, SIZE

ROOT = pathlib.Path(keras_regionvit.__file__).parents[1]
COLOURS = Preprocessing(SIZE)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return served_model.build()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("serving") / "served" / "1"
    export_saved_model(
        model, path, LABELS, preprocessing=COLOURS, top_k=3, features=True,
        card={"recipe": "none", "metrics": {"accuracy": 0.5}},
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


def test_a_fresh_process_answers_as_keras(model, folder, tmp_path):
    real = list(real_photos())
    assert real
    photos = [*PHOTOS.values(), *real, BAD["text"]]
    joined = np.frombuffer(b"".join(photos), np.uint8)
    np.savez(tmp_path / "in.npz", photos=joined, lengths=[len(data) for data in photos])
    script = ROOT / "tests" / "support" / "served_model.py"
    arguments = [script, folder, tmp_path / "in.npz", tmp_path / "out.npz"]
    subprocess.run([sys.executable, *map(str, arguments)], check=True, timeout=300, cwd=tmp_path)
    with np.load(tmp_path / "out.npz") as answer:
        assert sorted(answer) == ["classes", "labels", "probabilities", "scores", "valid"]
        assert answer["valid"].tolist() == [True] * (len(photos) - 1) + [False]
        images = np.stack(list(evaluated(photos[:-1], COLOURS)))
        expected = model.predict(images, verbose=0)
        assert np.ptp(expected, axis=0).max() > 0.05  # photos matter to this model
        np.testing.assert_allclose(answer["probabilities"][:-1], expected, atol=1e-5)
        best = np.argsort(-answer["probabilities"][:-1], axis=1)[:, :3]
        np.testing.assert_array_equal(answer["classes"][:-1], best)
        np.testing.assert_array_equal(answer["labels"][:-1], np.array(LABELS)[best])
        rows = np.take_along_axis(answer["probabilities"][:-1], best, axis=1)
        np.testing.assert_array_equal(answer["scores"][:-1], rows)
        for name in ("probabilities", "scores", "classes"):
            assert not answer[name][-1].any()
        assert answer["labels"][-1].tolist() == ["", "", ""]


def real_photos():
    """A photo of Matplotlib's; and those of many sizes and modes, where scikit-image is there."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        yield file.read()
    try:
        import skimage
    except ImportError:
        return
    for path in sorted((pathlib.Path(skimage.__file__).parent / "data").glob("*.*")):
        if path.suffix in (".png", ".jpg", ".gif"):
            yield path.read_bytes()


@pytest.mark.parametrize("name", ["serving_default", "features"])
def test_bad_images_do_not_touch_others(signatures, name):
    good = [KINDS["jpeg"], KINDS["png, palette"], KINDS["gif"]]
    mixed, places = [], []
    for i, bad in enumerate(BAD.values()):
        mixed += [bad, good[i % 3], bad]
        places.append(len(mixed) - 2)
    alone = signatures[name](image_bytes=tf.constant([mixed[i] for i in places]))
    answer = signatures[name](image_bytes=tf.constant(mixed))
    valid = np.isin(np.arange(len(mixed)), places)
    assert answer["valid"].numpy().tolist() == valid.tolist()
    for output, value in answer.items():
        value, others = value.numpy(), alone[output].numpy()
        if value.dtype == object or output in ("classes", "valid"):
            np.testing.assert_array_equal(value[valid], others)
        else:
            np.testing.assert_allclose(value[valid], others, rtol=1e-4, atol=1e-5)
        assert not np.any(value[~valid] != (b"" if value.dtype == object else 0)), output


def test_batches_of_none_and_of_bad_images_only(signatures):
    answer = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert answer["probabilities"].shape == (0, 7) and answer["valid"].shape == (0,)
    answer = signatures["serving_default"](image_bytes=tf.constant([b"", b"x"]))
    assert not answer["valid"].numpy().any() and not answer["probabilities"].numpy().any()


def pixels(count=3, size=SIZE):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype("float32")


def test_pixels_and_features(model, signatures):
    """Clients send pixels and normalise nothing; what they send is what the model is made for."""
    images = normalize(pixels()).numpy()
    answer = signatures["predict_pixels"](images=tf.constant(pixels()))
    assert answer["valid"].numpy().all()
    np.testing.assert_allclose(answer["probabilities"], model.predict(images, verbose=0), atol=1e-6)
    own = signatures["predict_tensor"](images=tf.constant(images))  # what the Keras model takes
    np.testing.assert_allclose(own["probabilities"], answer["probabilities"], atol=1e-6)
    backbone = classifier_layers(model)[1]
    pyramid = keras.Model(backbone.input, backbone.pyramid_outputs).predict(images, verbose=0)
    embedding = keras.Model(model.input, model.get_layer("avg_pool").output)
    answer = signatures["features_pixels"](images=tf.constant(pixels()))
    assert sorted(answer) == ["P2", "P3", "embedding", "valid"]
    np.testing.assert_allclose(answer["embedding"], embedding.predict(images, verbose=0), atol=1e-5)
    own = signatures["features_tensor"](images=tf.constant(images))
    np.testing.assert_allclose(own["embedding"], answer["embedding"], atol=1e-5)
    for level, right in pyramid.items():
        np.testing.assert_allclose(answer[level], right, atol=5e-5)  # of up to 19


@pytest.mark.parametrize("name", ["predict_pixels", "predict_tensor", "features_pixels"])
def test_pixels_that_are_not_finite_are_not_valid(signatures, name):
    images = pixels(6)
    whole = {k: v.numpy() for k, v in signatures[name](images=tf.constant(images)).items()}
    images[1, 3, 4, 0], images[3], images[4, 0, 0, 2] = np.nan, np.inf, -np.inf
    images[5] = 3e38  # finite, but nothing that can be computed with
    answer = signatures[name](images=tf.constant(images))
    valid = np.array([True, False, True, False, False, False])
    np.testing.assert_array_equal(answer["valid"], valid)
    for output, value in answer.items():
        value = value.numpy()
        np.testing.assert_array_equal(value[valid], whole[output][valid])  # bit for bit
        assert not np.any(value[~valid] != (b"" if value.dtype == object else 0)), output


@pytest.mark.parametrize("normalises", [False, True])
def test_one_rule_for_all_models(model, signatures, normalises, tmp_path):
    """Pixels on 0..255, whether the Keras model has the normalisation or the export adds it."""
    given = model
    if normalises:
        x = keras.Input((SIZE, SIZE, 3))
        layer = keras.layers.Normalization(mean=MEAN, variance=np.square(STD))
        given = keras.Model(x, model(layer(x)))
    arguments = {"preprocessing": COLOURS, "tensors": True}
    if normalises:
        arguments["preprocessing"] = Preprocessing(SIZE, mean=(0,) * 3, std=(1,) * 3)
    export_saved_model(given, tmp_path / "1", **arguments)
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert list(served) == ["serving_default"]
    answer = served["serving_default"](images=tf.constant(pixels()))
    expected = signatures["predict_pixels"](images=tf.constant(pixels()))
    np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], atol=1e-5)
    card = read_card(tmp_path / "1")
    assert card["images_are"] == "pixels on 0..255, normalised inside"
    assert card["preprocessing"]["mean"] == [0, 0, 0] and card["preprocessing"]["size"] == SIZE


def test_without_labels_classes_have_their_numbers(model, tmp_path):
    export_saved_model(model, tmp_path / "1", preprocessing=COLOURS, top_k=100)
    answer = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"](
        image_bytes=tf.constant([KINDS["jpeg"]])
    )
    np.testing.assert_array_equal(answer["labels"].numpy().astype(int), answer["classes"])
    assert answer["labels"].shape == (1, 7)


def test_weights_are_stored_once(model, folder):
    data = sum(file.stat().st_size for file in (folder / "variables").glob("*.data*"))
    assert 4 * model.count_params() < data < 1.05 * 4 * model.count_params() + 10_000
    assert (folder / "assets" / "labels.txt").read_text("utf-8").splitlines() == LABELS
    assert oct(folder.stat().st_mode & 0o777) == "0o755"


def test_bfloat16_and_any_size(model, tmp_path):
    half = rebuilt(model, precision="bfloat16")
    assert {w.dtype for w in half.weights} == {"float32"}
    larger = Preprocessing(SIZE + 8)  # than the model was made for
    export_saved_model(
        model, tmp_path / "1", preprocessing=larger, precision="bfloat16", any_size=True
    )
    assert read_card(tmp_path / "1")["compute_dtype"] == "bfloat16"
    served = tf.saved_model.load(str(tmp_path / "1"))
    images = np.random.default_rng(0).uniform(0, 255, (2, 29, 37, 3)).astype("float32")
    answer = served.signatures["predict_pixels"](images=tf.constant(images))["probabilities"]
    images = keras_regionvit.preprocess_input(images)
    expected = rebuilt(model, any_size=True).predict(images, verbose=0)
    difference = np.abs(answer - expected).max()
    assert 1e-6 < difference < 0.05  # float32 would be nearer
    photo = tf.constant([KINDS["jpeg"]])
    assert served.signatures["serving_default"](image_bytes=photo)["valid"].numpy().all()


def test_model_card(folder, model):
    card = read_card(folder)
    assert card["parameters"] == model.count_params()
    assert card["metrics"] == {"accuracy": 0.5} and card["recipe"] == "none"
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["preprocessing"]["size"] == SIZE and card["compute_dtype"] == "float32"
    assert set(card["signatures"]) == {
        "serving_default", "predict_pixels", "predict_tensor",
        "features", "features_pixels", "features_tensor"
    }  # fmt: skip
    files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    assert sorted(card["sha256"]) == sorted(set(files) - {CARD.as_posix()})


def test_model_card_notices_changes(model, tmp_path):
    path = tmp_path / "1"
    export_saved_model(model, path)
    weights = path / "variables" / "variables.data-00000-of-00001"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"data-00000-of-00001 is changed"):
        read_card(path)
    weights.write_bytes(before)
    (path / "more").touch()
    with pytest.raises(ValueError, match=r"more is new"):
        read_card(path)
    (path / "more").unlink()
    (path / "fingerprint.pb").unlink()
    with pytest.raises(ValueError, match=r"fingerprint.pb is missing"):
        read_card(path)
    (path / CARD).write_text("{", "utf-8")
    with pytest.raises(ValueError, match=r"is damaged"):
        read_card(path)
    (path / CARD).unlink()
    with pytest.raises(ValueError, match=r"has no assets.extra"):
        read_card(path)


def test_warmup_requests_are_those_of_tensorflow_serving(folder, signatures):
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    played = []
    for record in tf.data.TFRecordDataset(str(folder / WARMUP)):
        request = apis.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.ListFields() != []
        signature = signatures[request.model_spec.signature_name]
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        answer = signature(**inputs)
        if "valid" in answer:
            assert answer["valid"].numpy().all()
        played.append(request.model_spec.signature_name)
    assert set(played) == set(signatures)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"preprocessing": Preprocessing(25)}, "must make images"),
        ({"preprocessing": Preprocessing(SIZE, mean=(1.0,), std=(1.0,))}, "must make images"),
        ({"preprocessing": COLOURS, "top_k": 0}, "`top_k` must be"),
        ({"precision": "int8"}, "`precision` must be"),
        ({"labels": ["a"]}, "`labels` must have one line"),
    ],
)
def test_refusals_leave_nothing(model, tmp_path, arguments, said):
    with pytest.raises(ValueError, match=said):
        export_saved_model(model, tmp_path / "new" / "1", **arguments)
    assert not list(tmp_path.rglob("*.pb")) and not list(tmp_path.rglob("1*"))


def test_an_export_that_fails_late_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_regionvit.export.saved_model.write_card", full)
    with pytest.raises(OSError, match="No space"):
        export_saved_model(model, tmp_path / "1", preprocessing=COLOURS)
    assert os.listdir(tmp_path) == []


def test_a_version_is_never_overwritten(model, folder):
    before = json.loads((folder / CARD).read_text("utf-8"))
    with pytest.raises(ValueError, match="must not exist yet"):
        export_saved_model(model, folder, preprocessing=COLOURS)
    assert json.loads((folder / CARD).read_text("utf-8")) == before
    read_card(folder)


def test_other_models_are_refused(tmp_path):
    inputs = keras.Input((SIZE, SIZE, 3))
    outputs = keras.layers.Dense(2, "relu")(keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="softmax"):
        export_saved_model(keras.Model(inputs, outputs), tmp_path / "1", preprocessing=COLOURS)
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    with pytest.raises(ValueError, match="build_classifier"):
        export_saved_model(keras.Model(inputs, outputs), tmp_path / "1", features=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": 0},
        {"size": 2.5},
        {"size": 8, "crop_ratio": 0},
        {"size": 8, "mean": (1.0, 2.0)},
        {"size": 8, "std": (1.0, 0.0, 1.0)},
        {"size": 8, "max_pixels": 0},
    ],
)
def test_preprocessing_that_makes_no_sense(arguments):
    with pytest.raises(ValueError, match="Received"):
        Preprocessing(**arguments)
