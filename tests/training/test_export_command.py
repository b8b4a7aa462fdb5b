"""`python -m training.export`: from a file, a run or a variant to a version folder."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_regionvit
from keras_regionvit.export.model_card import read_card
from keras_regionvit.images.preprocessing import evaluation_image
from tests.support import served_model
from tests.support.photos import KINDS
from tests.support.served_model import CROP_RATIO, LABELS, MEAN, SIZE, STD
from training import export


def serve(folder, **inputs):
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: value.numpy() for name, value in signature(**inputs).items()}


def run(*arguments):
    return export.main(list(map(str, arguments)))


def test_a_keras_file(tmp_path, capsys):
    model = served_model.build()
    model.save(tmp_path / "model.keras")
    (tmp_path / "names.txt").write_text("\n".join(LABELS), "utf-8")
    output = tmp_path / "serving" / "animals" / "1"
    arguments = ["--model", tmp_path / "model.keras", "--output", output]
    assert run(*arguments, "--labels", tmp_path / "names.txt", "--top-k", 2) == 0
    assert capsys.readouterr().out.startswith(f"{output}  ")
    answer = serve(output, image_bytes=[KINDS["jpeg"]])
    expected = model(evaluation_image(tf.constant(KINDS["jpeg"]), SIZE)[None])
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    assert answer["labels"].shape == (1, 2)
    assert answer["labels"][0, 0].decode() == LABELS[int(np.argmax(expected))]
    assert run(*arguments) == 2  # a version is never overwritten
    assert "never overwritten" in capsys.readouterr().err


def test_the_folder_of_a_run(tmp_path):
    """Its model normalises by itself; size, crop, labels and metrics are the run's own."""
    model = served_model.build(channels=1)
    folder = tmp_path / "run"
    served_model.write_run(folder, model)
    assert run("--model", folder, "--output", tmp_path / "s" / "2", "--features") == 0
    card = read_card(tmp_path / "s" / "2")
    assert card["metrics"] == {"accuracy": 0.75, "loss": 0.5}
    assert card["seed"] == 3 and card["revision"] == "abc" and card["source"] == str(folder)
    assert card["recipe"]["evaluate"]["crop_ratio"] == CROP_RATIO
    assert "features" in card["signatures"]
    answer = serve(tmp_path / "s" / "2", image_bytes=[KINDS["png"]])
    # the pipeline's own image, which is normalised, into the model without preprocessing
    image = evaluation_image(tf.constant(KINDS["png"]), SIZE, CROP_RATIO, MEAN[:1], STD[:1])
    np.testing.assert_allclose(answer["probabilities"], model(image[None]), atol=1e-5)
    best = LABELS[int(np.argmax(answer["probabilities"]))]
    assert answer["labels"][0, 0].decode() == best


def features(channels=3):
    """The usual model to transfer: `include_top=False, pooling="avg"`, but small."""
    keras.utils.set_random_seed(1)
    backbone = keras_regionvit.RegionViTBackbone(
        (8, 16), (1, 1), window_size=3, input_shape=(SIZE, SIZE, channels)
    )
    x = keras.layers.GlobalAveragePooling2D()(backbone.output["regional_tokens"])
    return keras.Model(backbone.input, 30 * x)


def exported(model, tmp_path, *options):
    """What a photo gives, after the export of the model by the command."""
    model.save(tmp_path / "model.keras")
    output = tmp_path / "serving" / "1"
    assert run("--model", tmp_path / "model.keras", "--output", output, *options) == 0
    return serve(output, image_bytes=[KINDS["jpeg"]])["probabilities"]


def test_a_keras_transfer_model(tmp_path):
    """Sequential with an augmentation in front, which is no normalisation, and logits."""
    inside = features()
    head = keras.layers.Dense(4, kernel_initializer="he_normal")
    model = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.RandomFlip(), inside, head]
    )
    image = evaluation_image(tf.constant(KINDS["jpeg"]), SIZE)[None]  # with ImageNet's statistics
    expected = tf.nn.softmax(head(inside(image)))
    np.testing.assert_allclose(exported(model, tmp_path), expected, atol=1e-5)
    assert np.ptp(expected) > 0.05


def test_a_grey_model(tmp_path, capsys):
    image = keras.Input((SIZE, SIZE, 1))
    model = keras.Model(image, keras.layers.Dense(3, "softmax")(features(1)(image)))
    model.save(tmp_path / "grey.keras")
    arguments = ["--model", tmp_path / "grey.keras", "--output", tmp_path / "new" / "1"]
    for options, said in (
        ([], "takes images with 1 channel, and it does not normalise them: say by --mean and"),
        (["--mean", 99], "--mean and --std belong together"),
        (["--mean", "1,2,3", "--std", "1,2,3"], "--mean needs one number for each of the 1"),
    ):
        assert run(*arguments, *options) == 2
        assert said in capsys.readouterr().err
    found = exported(model, tmp_path, "--mean", 120, "--std", "60")
    photo = evaluation_image(tf.constant(KINDS["jpeg"]), SIZE, mean=(120.0,), std=(60.0,))
    np.testing.assert_allclose(found, model(photo[None]), atol=1e-5)


@pytest.mark.slow
def test_a_variant_and_tensors(tmp_path):
    output = tmp_path / "1"
    arguments = ["--model", "tiny", "--weights", "none", "--image-size", 64, "--output", output]
    assert run(*arguments, "--precision", "bfloat16", "--tensors") == 0
    images = np.zeros((2, 64, 64, 3), "float32")
    answer = serve(output, images=images)
    assert list(answer) == ["probabilities"] and answer["probabilities"].shape == (2, 1000)
    card = read_card(output)
    assert card["parameters"] == 13_842_676 and card["compute_dtype"] == "bfloat16"
    size = sum(file.stat().st_size for file in (output / "variables").iterdir())
    assert size < 1.05 * 4 * card["parameters"]


def test_a_full_disk(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "warmup; No space left on device")

    served_model.build().save(tmp_path / "model.keras")
    monkeypatch.setattr("keras_regionvit.export.saved_model.write_warmup", full)
    output = tmp_path / "serving" / "1"
    assert run("--model", tmp_path / "model.keras", "--output", output) == 2
    error = capsys.readouterr().err
    assert f"--output {output} cannot be written: warmup; No space left" in error
    assert error.count("\n") == 1 and os.listdir(output.parent) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_stop_while_it_writes_leaves_no_version(tmp_path, how):
    served_model.build().save(tmp_path / "model.keras")
    output = tmp_path / "serving" / "1"
    output.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "training.export", "--model", tmp_path / "model.keras",
         "--output", output],
        cwd=pathlib.Path(export.__file__).parents[1], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not os.listdir(output.parent):
        time.sleep(0.01)
    process.send_signal(how)
    assert process.wait(timeout=120) == (143 if how == signal.SIGTERM else -9)
    left = os.listdir(output.parent)
    assert left == [] if how == signal.SIGTERM else all(name.startswith(".") for name in left)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stop_that_the_garbage_collector_loses_comes_again(tmp_path, monkeypatch):
    def wait():  # in steps: any thread may be given the signal, the main thread acts on it
        for _ in range(1000):
            time.sleep(0.01)

    def loses(*_):
        gc.callbacks.remove(loses)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            wait()
        finally:
            lost.append(sys.exc_info()[0])

    def write(_):
        gc.callbacks.append(loses)
        gc.collect(0)  # prints the error of its callback and goes on
        wait()

    lost = []
    monkeypatch.setattr(export, "run", write)
    assert run("--model", "tiny", "--output", tmp_path / "1") == 143
    assert lost == [SystemExit]


def test_bad_input(tmp_path, capsys):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "old" / "1").mkdir(parents=True)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model.save(tmp_path / "other.keras")
    backbone = keras_regionvit.RegionViTBackbone(
        (16, 32), (1, 1), window_size=3, input_shape=(12, 24, 3)
    )
    keras_regionvit.build_classifier(backbone, 2).save(tmp_path / "oblong.keras")
    new = tmp_path / "new" / "1"
    for arguments, said in (
        (["nothing", new], "neither a .keras file, nor the folder"),
        ([tmp_path, new], "is not the folder of a run"),
        ([tmp_path / "text.keras", new], "cannot be read"),
        ([tmp_path / "other.keras", new], "must end in a softmax"),
        ([tmp_path / "oblong.keras", new], "not squares"),
        ([tmp_path / "text.keras", tmp_path / "old" / "1"], "never overwritten"),
        ([tmp_path / "text.keras", tmp_path / "latest"], "must end in a version number"),
        ([tmp_path / "text.keras", tmp_path / "0"], "must end in a version number"),
        (["tiny", new, "--weights", "nowhere.pth"], "nowhere.pth"),
    ):
        model, output, *rest = map(str, arguments)
        assert run("--model", model, "--output", output, *rest) == 2, arguments
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        assert said in error, (arguments, error)
    assert not new.parent.exists() and os.listdir(tmp_path / "old" / "1") == []
