"""The predictor of any model, and what it refuses."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_regionvit
from keras_regionvit.export import export_saved_model
from keras_regionvit.images.preprocessing import evaluation_image
from tests.support import served_model
from tests.support.photos import BAD, KINDS
from tests.support.served_model import CLASSES, CROP_RATIO, LABELS, SIZE
from training import export
from training.prediction.opened import crop_ratio_of, record_of
from training.prediction.predictor import Predictor, find_model


@pytest.fixture(scope="module")
def model():
    return served_model.build()


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    served_model.write_run(folder, model)
    return folder


@pytest.fixture(scope="module")
def old(model, tmp_path_factory):
    """The folder of a run of version 0.1."""
    folder = tmp_path_factory.mktemp("runs") / "old"
    served_model.write_run(folder, model, encoded=False)
    return folder


def test_predictions(run):
    predictor = Predictor(run)
    good, bad, zeros = predictor([KINDS["jpeg"], BAD["text"], b"\0\0\0"])
    assert good.valid and not bad.valid and not zeros.valid
    assert good.probabilities.shape == (CLASSES,) and good.probabilities.dtype == np.float32
    assert good.classes == np.argsort(-good.probabilities).tolist()
    assert good.labels == [LABELS[i] for i in good.classes]
    assert good.scores == good.probabilities[good.classes].tolist()
    assert not bad.probabilities.any() and set(bad.labels) == {""} and not any(bad.scores)
    assert predictor([]) == [] and predictor.labels == LABELS and predictor.top_k == CLASSES


def test_bytes_are_not_cut_at_zeros(run):
    data = KINDS["bmp"][:-3] + b"\0\0\0"
    (prediction,) = Predictor(run)([data])
    assert prediction.valid


def test_what_a_run_means(run, old, tmp_path):
    assert find_model(run) == run / "saved_model" / "1"
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "saved_model")
    assert find_model(tmp_path / "run") == tmp_path / "run" / "model.keras"
    (tmp_path / "run" / "model.keras").unlink()
    with pytest.raises(ValueError, match="has no checkpoint yet"):
        find_model(tmp_path / "run")
    assert crop_ratio_of(run) == crop_ratio_of(old) == CROP_RATIO


def test_identity_tells_models_and_settings_apart(run, old, tmp_path):
    names = (run, run / "model.keras", old)
    identities = [json.dumps(Predictor(name).identity) for name in names]
    assert len(set(identities)) == len(names)
    assert identities[0] == json.dumps(Predictor(run / "saved_model" / "1").identity)
    shutil.copytree(old, tmp_path / "old")
    record = json.loads((old / "run.json").read_text())
    record["recipe"]["crop_ratio"] = 0.5
    (tmp_path / "old" / "run.json").write_text(json.dumps(record))
    assert json.dumps(Predictor(tmp_path / "old").identity) != identities[2]


def test_a_keras_file_without_a_run_normalises_as_imagenet(model, tmp_path):
    model.save(tmp_path / "model.keras")
    predictor = Predictor(tmp_path / "model.keras")
    (prediction,) = predictor([KINDS["png"]])
    image = evaluation_image(tf.constant(KINDS["png"]), SIZE)
    expected = model.predict(image[None], verbose=0)[0]
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-5)
    assert prediction.labels == [str(i) for i in prediction.classes]
    assert len(prediction.classes) == 5


@pytest.mark.slow
def test_tensors_by_the_export_command(model, run, tmp_path):
    """Its card says how they are made of images; where no card does, nothing is guessed."""
    model.save(tmp_path / "model.keras")
    for name, given in (("file", tmp_path / "model.keras"), ("run", run)):
        output = tmp_path / name / "1"
        command = ["--model", given, "--output", output, "--tensors"]
        assert export.main(list(map(str, command))) == 0
        with_tensors, whole = Predictor(output), Predictor(given)
        pixels = {"mean": (0,) * 3, "std": (1,) * 3}  # what a SavedModel takes is not normalised
        assert with_tensors.preprocessing == dataclasses.replace(whole.preprocessing, **pixels)
        (found,), (expected,) = with_tensors([KINDS["jpeg"]]), whole([KINDS["jpeg"]])
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    # as version 0.1 wrote it
    card = {"source": "small, weights imagenet", "recipe": None}
    export_saved_model(model, tmp_path / "older" / "1", card=card)
    with pytest.raises(ValueError, match="does not say how they are made of images"):
        Predictor(tmp_path / "older" / "1")


def test_models_that_are_refused(model, run, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "damaged" / "1").mkdir(parents=True)
    (tmp_path / "damaged" / "1" / "saved_model.pb").write_bytes(b"damaged")
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()]).save(
        tmp_path / "other.keras"
    )
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 1), window_size=3, input_shape=(12, 24, 3)
    )
    keras_regionvit.build_classifier(backbone, 2).save(tmp_path / "oblong.keras")
    served_model.build(channels=1).save(tmp_path / "grey.keras")
    shutil.copytree(run / "saved_model", tmp_path / "changed")
    (tmp_path / "changed" / "1" / "more").touch()
    tf.saved_model.save(Doubles(), tmp_path / "doubles")
    for name, said in (
        ("none", "is not a SavedModel (no saved_model.pb in it), a .keras file or the folder"),
        ("damaged", f"did you mean {tmp_path / 'damaged' / '1'}?"),
        ("damaged/1", "cannot be loaded as a SavedModel"),
        ("text.keras", "cannot be read"),
        ("other.keras", "must end in a softmax"),
        ("oblong.keras", "not squares"),
        ("grey.keras", "it does not normalise them: say by --mean and --std"),
        ("changed/1", "more is new since the export"),
        ("doubles", "does not classify images: its `serving_default` makes twice of x"),
    ):
        with pytest.raises(ValueError) as error:
            Predictor(tmp_path / name)
        assert said in str(error.value) and "\n" not in str(error.value), error.value


class Doubles(tf.Module):
    """A SavedModel of somebody else's."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.float32, name="x")])
    def __call__(self, x):
        return {"twice": 2 * x}


def test_records_that_are_refused(run, tmp_path):
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "run.json"
    with pytest.raises(ValueError, match=r"is not the folder of a run: no run\.json in it"):
        record_of(tmp_path / "run")
    for text in ("{", "[]", "{}", '{"recipe": {}}', '{"recipe": {"evaluate": 3}}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"run.json is damaged: it (is not JSON|has no )"):
            record_of(tmp_path / "run")
    assert record_of(run) == {
        "recipe": {"name": "mine", "evaluate": {"crop_ratio": CROP_RATIO}},
        "seed": 3,
        "revision": "abc",
        "crop_ratio": CROP_RATIO,
        "metrics": {"accuracy": 0.75, "loss": 0.5},
        "labels": LABELS,
        "info": None,
    }
