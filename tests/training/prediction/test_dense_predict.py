"""`training.predict`, `.export` and `.evaluate` for detectors and segmenters."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_regionvit.export.model_card import read_card
from tests.support.photos import photo
from training import evaluate, export, predict
from training.data.sources import open_detection_source
from training.engine.loop import BEST
from training.prediction.coco_results import CocoNumbers
from training.prediction.kinds import task_of
from training.recipes import catalogue
from training.runs.folder import write_record
from training.runs.trained import keep_info
from training.tasks import open_task

NAMES = ("cat", "dog")
INFO = {"class_names": NAMES, "channels": 3}


def write_run(folder, name, names=NAMES):
    """The folder of a run that was stopped after its first epoch."""
    keras.utils.set_random_seed(0)
    changes = {f"{name}.width": 8}
    if name == "detection":
        changes["detection.score_threshold"] = 0.005  # so that there is something to see
    recipe = catalogue.smoke(f"quickstart_{name}").with_values(changes)
    task, info = open_task(recipe), {**INFO, "class_names": names}
    if name == "detection":
        info["category_ids"] = (4, 9) if names is NAMES else tuple(range(len(names)))
    keep_info(folder, info)
    write_record(folder, recipe, 0, True, None)
    (folder / BEST).parent.mkdir(parents=True, exist_ok=True)
    task.build_model(info).save_weights(folder / BEST)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name in ("detection", "segmentation"):
        write_run(root / name, name)
        status = export.main(["--model", str(root / name), "--output", str(root / f"{name}-s/1")])
        assert status == 0
    return root


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(photo(40, 80)).save(folder / "0012.png")
    Image.fromarray(photo(50, 30)).save(folder / "sub" / "b.png")
    (folder / "broken.jpg").write_text("no image")
    return folder


def run(capsys, *arguments):
    status = predict.main(list(map(str, arguments)))
    output = capsys.readouterr()
    return status, output.out.splitlines(), output.err.splitlines()


def size_of(path):
    with Image.open(path) as image:
        return image.size


def served(folder, path):
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answer = signature(image_bytes=tf.constant([path.read_bytes()]))
    return {name: value.numpy()[0] for name, value in answer.items()}


def test_detections_as_coco_results(runs, photos, tmp_path, capsys):
    out, drawn = tmp_path / "found.json", tmp_path / "drawn"
    model = runs / "detection-s" / "1"
    assert task_of(model) == task_of(runs / "detection") == "detection"
    status, lines, errors = run(
        capsys, "--model", model, "--folder", photos, "--json", out, "--draw", drawn
    )
    assert status == 1 and len([line for line in errors if "broken.jpg is not an image" in line])
    assert lines[-1] == "3 images, 1 of them cannot be read"
    rows = json.loads(out.read_text())
    assert {row["image_id"] for row in rows} == {12, "sub/b.png"}
    answer = served(model, photos / "0012.png")
    own = [row for row in rows if row["file_name"] == "0012.png"]
    assert len(own) == answer["count"] > 0
    for row, box, score, label in zip(own, *(answer[k] for k in ("boxes", "scores", "classes")),
                                      strict=False):  # fmt: skip
        np.testing.assert_allclose(row["bbox"], [*box[:2], *(box[2:] - box[:2])], atol=1e-4)
        assert row["score"] == pytest.approx(score) and row["category_id"] == (4, 9)[label]
    assert size_of(drawn / "0012.png") == (80, 40)
    assert size_of(drawn / "sub" / "b.png") == (30, 50)
    status, lines, _ = run(capsys, "--model", model, photos / "0012.png")
    assert status == 0 and lines[0].startswith(f"{photos / '0012.png'}  {answer['count']} found")
    label = NAMES[answer["classes"][0]]
    assert lines[1].startswith(f"  {label} {answer['scores'][0]:.1%}  box ")


def test_masks_have_the_size_of_the_photo(runs, photos, tmp_path, capsys):
    masks, out = tmp_path / "masks", tmp_path / "shares.json"
    model = runs / "segmentation-s" / "1"
    status, lines, errors = run(
        capsys, "--model", model, photos, "--masks", masks, "--json", out,
        "--draw", tmp_path / "drawn",
    )  # fmt: skip
    assert status == 1 and len(lines) == 2 and "broken.jpg" in errors[0]
    shares = json.loads(out.read_text())[0]["shares"]
    with Image.open(masks / "0012.png") as image:
        assert image.mode == "P" and image.size == (80, 40)
        values = np.asarray(image)
    answer = served(runs / "segmentation-s" / "1", photos / "0012.png")
    np.testing.assert_array_equal(values, tf.io.decode_png(answer["mask_png"])[..., 0])
    assert shares == {name: np.mean(values == NAMES.index(name)) for name in shares}
    assert sum(shares.values()) == pytest.approx(1)
    best, share = next(iter(shares.items()))
    assert f"{best} {share:.1%}" in lines[0]
    assert size_of(masks / "b.png") == (30, 50)


def test_a_run_is_exported_with_its_card_and_its_labels(runs):
    card = read_card(runs / "detection-s" / "1")
    assert card["category_ids"] == [4, 9] and card["recipe"]["task"] == "detection"
    assert card["source"].endswith("best checkpoint")
    for name in ("detection", "segmentation"):
        labels = runs / f"{name}-s" / "1" / "assets.extra" / "labels.txt"
        assert labels.read_text() == "cat\ndog\n"


def test_a_keras_file(runs, photos, tmp_path, capsys):
    """It has no names of its own; its canvas and colour are those of the run."""
    file, names = tmp_path / "model.keras", tmp_path / "names.txt"
    task = open_task(catalogue.smoke("quickstart_detection").with_values({"detection.width": 8}))
    model = task.build_model({**INFO, "category_ids": (4, 9)})
    task.for_users(model, INFO).save(file)
    names.write_text("cat\ndog\n")
    assert task_of(file) == "detection"
    arguments = ["--model", str(file), "--labels", str(names)]
    output = tmp_path / "served" / "1"
    assert export.main([*arguments, "--output", str(output)]) == 0
    capsys.readouterr()
    assert read_card(output)["canvas"]["size"] == 64
    np.testing.assert_allclose(read_card(output)["canvas"]["fill"], task.recipe.data.mean, 1e-5)
    status, lines, _ = run(capsys, "--model", file, photos / "0012.png")
    assert status == 0 and lines[0].endswith("found")
    names.write_text("cat\n")
    assert export.main([*arguments, "--output", str(tmp_path / "served" / "2")]) == 2
    assert "has 2 classes, but there are 1 names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("detection", ["--csv", "x"], "--csv is not for a model of detection"),
        ("detection", ["--masks", "x"], "--masks is not for a model of detection"),
        ("segmentation", ["--annotations", "x"], "--annotations is not for"),
        ("segmentation", ["--invert"], "--invert is not for"),
        ("detection", [], "name at least one image"),
        ("detection", ["--folder", "."], "one of --json, --draw."),
        ("detection", ["--folder", "none", "--json", "x"], "--folder none is not a folder"),
        ("detection", ["a.png", "--annotations", "none"], "which is missing"),
        ("detection", ["a.png", "--json", "x", "--annotations", "none"], "none cannot be read"),
    ],
)  # fmt: skip
def test_what_is_refused(runs, name, words, said, capsys):
    status, lines, errors = run(capsys, "--model", runs / f"{name}-s" / "1", *words)
    assert status == 2 and not lines and len(errors) == 1 and said in errors[0], errors


@pytest.mark.parametrize("words", [["--top-k", "3"], ["--features"], ["--tensors"],
                                   ["--crop-ratio", "1"], ["--any-size"], ["--mean", "1,1,1"],
                                   ["--precision", "bfloat16"]])  # fmt: skip
def test_export_refuses_what_only_classifiers_have(runs, tmp_path, words, capsys):
    arguments = ["--model", str(runs / "segmentation"), "--output", str(tmp_path / "1"), *words]
    assert export.main(arguments) == 2
    error = capsys.readouterr().err
    assert f"error: {words[0]} is for models that classify images" in error
    assert not (tmp_path / "1").exists()


def test_nothing_is_written_half(runs, photos, tmp_path, capsys):
    """Two photos of one number: no JSON, and the photos stay as they are."""
    (photos / "sub" / "12.png").write_bytes((photos / "0012.png").read_bytes())
    out, model = tmp_path / "found.json", runs / "detection-s" / "1"
    status, _, errors = run(capsys, "--model", model, "--folder", photos, "--json", out)
    assert status == 2 and "both have the image_id 12" in errors[-1]
    assert not out.exists() and not list(tmp_path.glob(".aside*"))
    status, _, errors = run(capsys, "--model", model, photos / "0012.png", "--draw", photos)
    assert status == 2 and "would overwrite the photo" in errors[-1]
    assert size_of(photos / "0012.png") == (80, 40)


def test_a_folder_that_is_missing(runs, photos, tmp_path, capsys):
    model, out = runs / "detection-s" / "1", tmp_path / "missing" / "found.json"
    status, _, errors = run(capsys, "--model", model, photos / "0012.png", "--json", out)
    assert status == 2 and len(errors) == 1 and f"{out} cannot be written" in errors[0], errors


def test_evaluation_on_other_classes(runs, tmp_path, capsys):
    """Fewer classes than the data has; as many in another order; the same ones."""
    info = open_detection_source("composed", "test", count=8).info
    names = tuple(info["class_names"])
    swapped, same = (write_run(tmp_path / str(i), "detection", x)
                     for i, x in enumerate((names[::-1], names)))  # fmt: skip
    for folder, said in ((runs / "detection", "the 2 classes"), (swapped, "the 10 classes")):
        assert evaluate.main(["--run", str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error and "Received 10: " in error
    assert evaluate.main(["--run", str(same)]) == 0


def test_annotations_give_the_numbers(tmp_path):
    file = tmp_path / "coco.json"
    images = [{"file_name": "train/a.jpg", "id": 3}, {"file_name": "test/a.jpg", "id": 4},
              {"file_name": "b.jpg", "id": 5}]  # fmt: skip
    categories = [{"name": "dog", "id": 18}, {"name": "cat", "id": 17}]
    file.write_text(json.dumps({"images": images, "categories": categories}))
    numbers = CocoNumbers(NAMES, (1, 2), file)
    assert numbers.category_ids == (17, 18)
    assert numbers.image_id("test/a.jpg") == 4 and numbers.image_id("x/b.jpg") == 5
    with pytest.raises(ValueError, match=r"no single image a\.jpg"):
        numbers.image_id("a.jpg")
    with pytest.raises(ValueError, match="no category 'horse'"):
        CocoNumbers(("horse",), None, file)
