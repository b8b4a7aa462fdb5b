"""`training.predict` and `.evaluate` for detectors of masks and of keypoints."""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from tests.support.photos import photo
from training import evaluate, predict
from training.data.sources.keypoint_names import named_info
from training.engine.loop import BEST
from training.prediction.dense import DensePredictor
from training.prediction.drawing import png_mask
from training.recipes import catalogue
from training.runs.folder import write_record
from training.runs.trained import keep_info
from training.tasks import open_task

CORNERS = ("upper left", "upper right", "lower left", "lower right")


@pytest.fixture(scope="module", params=["mask_rcnn", "keypoint_rcnn"])
def opened(request, tmp_path_factory):
    """`(kind, folder of a run that was stopped, photo, what is predicted for it)`."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("runs") / request.param
    recipe = catalogue.smoke(f"quickstart_{request.param}").with_values(
        {"detection.width": 8, "detection.score_threshold": 0.05, "detection.max_detections": 5}
    )
    task = open_task(recipe)
    names = ("cat", "dog") if request.param == "mask_rcnn" else ("cat",)
    info = {"class_names": names, "category_ids": (4, 9)[: len(names)], "channels": 3}
    if request.param == "keypoint_rcnn":
        info |= named_info(CORNERS)
    keep_info(folder, info)
    write_record(folder, recipe, 0, True, None)
    (folder / BEST).parent.mkdir(parents=True, exist_ok=True)
    model = task.build_model(info)
    for layer in model.get_layer("box_head").layers:  # so that regions differ
        if layer.name in ("region_scores", "region_deltas"):
            layer.kernel.assign(layer.kernel * 50)
    model.save_weights(folder / BEST)
    path = folder.parent / "0012.png"
    Image.fromarray(photo(40, 80)).save(path)
    (found,) = DensePredictor(folder)([path.read_bytes()])
    return request.param, folder, path, found


def test_results_have_masks_or_keypoints(opened, tmp_path, capsys, monkeypatch):
    kind, folder, path, found = opened
    monkeypatch.setattr("training.prediction.drawing.MIN_SCORE", 0.0)
    count = len(found["boxes"])
    assert count > 0
    out, drawn = tmp_path / "found.json", tmp_path / "drawn"
    words = ["--model", folder, path, "--json", out, "--draw", drawn]
    assert predict.main(list(map(str, words))) == 0, capsys.readouterr().err
    rows = json.loads(out.read_text())
    assert len(rows) == count and {row["category_id"] for row in rows} <= {4, 9}
    for i, row in enumerate(rows):
        if kind == "mask_rcnn":
            assert row["segmentation"]["size"] == [40, 80]
            pixels = coco_mask.decode(row["segmentation"])
            np.testing.assert_array_equal(pixels > 0, png_mask(found["masks"][i]))
        else:
            points = np.array(row["keypoints"]).reshape(4, 3)
            np.testing.assert_allclose(
                points + np.array([0.5, 0.5, 0]), found["keypoints"][i], atol=1e-3
            )
    with Image.open(drawn / "0012.png") as image:
        assert image.size == (80, 40)
        assert np.any(np.asarray(image) != photo(40, 80))


def test_evaluation_of_a_stopped_run(opened, tmp_path, capsys):
    """Of one class with another name; of fewer classes than the data have."""
    kind, folder, _, _ = opened
    words = ["--run", str(folder), "--json", str(tmp_path / "metrics.json")]
    if kind == "keypoint_rcnn":
        assert evaluate.main(words) == 0
        assert 0 <= json.loads((tmp_path / "metrics.json").read_text())["keypoint_AP50"] <= 1
        return
    assert evaluate.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "the 2 classes" in error
