"""`--dry-run`: what would be trained, and what training would fail with; nothing is made."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from training import train
from training.recipes import catalogue as recipes
from training.runs.dry_run import describe, memory
from training.tasks.classification import Classification

TINY = {
    "model.variant": "", "model.embed_dims": "32", "model.depths": "1", "model.window_size": "2",
    "data.image_size": 16, "data.batch_size": 4,
}  # fmt: skip
SETTINGS = [x for key, value in TINY.items() for x in ("--set", f"{key}={value}")]


def run(train, *arguments, capsys):
    """(status, stdout, stderr) of the command in this process."""
    status = train.main([str(x) for x in (*arguments, "--dry-run")])
    output = capsys.readouterr()
    return status, output.out, output.err


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of twelve classes with an image of each to learn from and one held out."""
    folder = tmp_path_factory.mktemp("photos")
    for split in ("train", "validation"):
        for i in range(12):
            (folder / split / f"kind {i:02}").mkdir(parents=True)
            image = Image.fromarray(np.full((8, 9, 3), 20 * i, "uint8"))
            image.save(folder / split / f"kind {i:02}" / "1.png")
    return folder


def test_dry_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(
        train, "--recipe", "imagenet21k", "--smoke", "--set", "schedule.epochs=7", capsys=capsys,
    )  # fmt: skip
    assert status == 0 and err == "" and os.listdir(tmp_path) == []
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert lines["schedule.epochs"].split()[1] == "7"
    assert "32 an epoch, 224 in all, warm-up 32; 512 images" in lines["steps"]
    assert "parameters" in lines and "MiB" in lines["memory,"]
    for key, _ in recipes.load("imagenet21k").RECIPE.items():
        assert key in lines


def test_dry_run_says_what_the_data_has(photos, capsys):
    status, out, err = run(train, "--recipe", "folder", "--data", photos, *SETTINGS, capsys=capsys)
    assert status == 0 and err == ""
    lines = {line[:21].strip(): line[21:].strip() for line in out.splitlines()}
    assert lines["data.images"] == "12, as the data has"
    assert "classification.classes           12, as the data has" in out
    assert lines["class names"].startswith("kind 00, kind 01, ")
    assert lines["class names"].endswith("kind 09 and 2 more")
    assert "12 images to learn from, 12 held out" in lines["steps"]
    assert lines["parameters"].endswith("(12 classes)")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "classification.multi_label=true"], "`classification.multi_label` must be"),
        (["--set", "data.batch_size=13"], "`data.batch_size` must be at most the 12 images"),
        (["--set", "classification.classes=3"], "`classes` must be 12"),
        (["--data", "/none"], "/none is not a folder"),
        (["--weights", "none.keras"], "none.keras"),
        (["--weights", "imagenet"], "`weights='imagenet'` exists only for"),
        (["--output", "taken"], "--output taken already holds files"),
        (["--output", "taken/file"], "is a file"),
        (["--set", "optimizer.accumulation=2", "--devices", "4", "--strategy", "one"],
         "--devices is for --strategy mirrored"),
    ],
)  # fmt: skip
def test_dry_run_fails_with_what_training_fails_with(
    words, said, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    command = ["--recipe", "folder", "--data", photos, *SETTINGS, *words]
    status, out, err = run(train, *command, capsys=capsys)
    assert status == 2 and out == "" and err.count("\n") == 1 and said in err, err
    assert train.main([str(x) for x in command]) == 2
    assert capsys.readouterr().err == err
    assert os.listdir(tmp_path / "taken") == ["file"]


def test_dry_run_without_the_images():
    recipe = recipes.smoke("folder").with_values(
        {"data.source": "folder", "classification.classes": 0}
    )
    text = describe(Classification(recipe))
    assert "unknown: --data must say" in text and "(1000 classes)" in text


def test_dry_run_downloads_nothing(tmp_path, monkeypatch, capsys):
    """Neither a set of TensorFlow Datasets nor trained weights."""

    def download(*_, **__):
        raise AssertionError("downloads")

    monkeypatch.setattr("tensorflow_datasets.builder", download)
    monkeypatch.setattr(
        "tensorflow_datasets.core.utils.file_utils.list_data_dirs", lambda **_: [str(tmp_path)]
    )
    monkeypatch.setattr("keras.utils.get_file", download)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, words in (
        ("imagenet2012", ["--recipe", "imagenet1k", "--set", "model.variant=tiny"]),
        ("fashion_mnist", ["--recipe", "fashion_mnist"]),
    ):
        monkeypatch.setattr("training.runs.dry_run.memory", lambda *_: (0, 0))
        status, out, _ = run(train, *words, capsys=capsys)
        assert status == 0
        assert f"tfds:{name} is not on this machine; training downloads and prepares it" in out
    status, out, _ = run(
        train, "--recipe", "quickstart", "--weights", "https://example.org/a.pth", capsys=capsys
    )
    assert status == 0 and "https://example.org/a.pth, which training downloads if it has" in out
    assert os.listdir(tmp_path) == []


def test_dry_run_of_the_quick_start_is_quick(capsys):
    """It takes 5 s of one core beside the start of TensorFlow."""
    begun = time.process_time()
    status, out, _ = run(train, "--recipe", "quickstart", capsys=capsys)
    assert status == 0 and "T-shirt/top" in out
    assert time.process_time() - begun < 15


def test_memory_grows_as_it_should():
    """Adam keeps two numbers a weight, SGD one; twice the image has four times the maps."""
    info = {"class_names": ("a", "b", "c", "d")}

    def of(**values):
        task = Classification(recipes.smoke("imagenet1k").with_values(values))
        model = task.build_model(info)
        return *memory(task, model, info), 4 * model.count_params()

    fixed, each, weights = of()
    sgd, _, _ = of(**{"optimizer.name": "sgd"})
    assert (fixed, sgd) == (4 * weights, 3 * weights)
    _, more, _ = of(**{"data.image_size": 64})
    assert 3.5 * each < more < 4.5 * each
    tokens = (32 // 4) ** 2 * 32 * 4  # bytes of one map of the first stage
    assert 10 * tokens < each < 200 * tokens
