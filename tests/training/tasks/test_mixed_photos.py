"""Photos that lie and stand, from the command to the served model and the predictions."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support import mixed_photos
from training import predict, train

FILL = (123.675, 116.28, 103.53)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_from_the_folder_to_the_served_model(kind, tmp_path, capsys):
    put = mixed_photos.put_coco if kind == "detection" else mixed_photos.put_masks
    data, folder = put(tmp_path / "data"), tmp_path / "run"
    crop = ["--set", "segmentation.crop=64"] if kind == "segmentation" else []
    arguments = ["--recipe", f"{kind}_folder", "--smoke", "--data", str(data), "--output",
                 str(folder), "--set", "data.batch_size=4", "--set", f"{kind}.canvas=64,96",
                 "--set", "schedule.epochs=1", "--set", "schedule.warmup_epochs=0"]  # fmt: skip
    assert train.main(arguments + crop) == 0, capsys.readouterr().err
    model = keras.models.load_model(folder / "model.keras")
    assert model.input.shape[1:] == (None, None, 3)
    card = json.loads((folder / "saved_model/1/assets.extra/model_card.json").read_text("utf-8"))
    assert card["canvas"]["size"] == [64, 96]
    serve = tf.saved_model.load(str(folder / "saved_model" / "1")).signatures["serving_default"]
    draw = np.random.default_rng(0)
    photos = [draw.integers(0, 255, (*sides, 3)).astype("uint8") for sides in
              ((40, 60), (60, 40), (33, 90), (90, 33), (50, 50))]  # fmt: skip
    encoded = [tf.io.encode_png(photo).numpy() for photo in photos]
    for some in ((0, 1, 2, 3, 4), (1, 3), (0, 4), (2,), ()):
        request = tf.constant([encoded[i] for i in some] + [b"no image"])
        check(model, kind, [photos[i] for i in some], serve(image_bytes=request))
    check_predictions(kind, folder, data, tmp_path / "found")


def check(model, kind, photos, answer):
    """Each photo's answer is that of the model on its own canvas, laid or stood."""
    assert answer["valid"].numpy().tolist() == [True] * len(photos) + [False]
    for i, photo in enumerate(photos):
        sides = photo.shape[:2]
        canvas = (96, 64) if sides[0] > sides[1] else (64, 96)
        scale = min(canvas[0] / sides[0], canvas[1] / sides[1])
        fitted = [round(side * scale) for side in sides]
        image = np.tile(np.array(FILL, "float32"), (1, *canvas, 1))
        image[0, : fitted[0], : fitted[1]] = tf.image.resize(photo, fitted, antialias=True)
        expected = model.predict(image, verbose=0)
        if kind == "segmentation":
            small = np.argmax(expected[0, : fitted[0], : fitted[1]], axis=-1)
            mask = tf.io.decode_png(answer["mask_png"][i]).numpy()[..., 0]
            resized = tf.image.resize(small[..., None], sides, method="nearest")
            assert mask.shape == sides and np.mean(mask == resized[..., 0]) > 0.99
            continue
        assert int(answer["count"][i]) == int(expected["count"][0])
        np.testing.assert_allclose(answer["scores"][i], expected["scores"][0], atol=1e-5)
        ratio = np.array([sides[1] / fitted[1], sides[0] / fitted[0]] * 2)
        boxes = np.minimum(expected["boxes"][0] * ratio, [sides[1], sides[0]] * 2)
        np.testing.assert_allclose(answer["boxes"][i], boxes, atol=1e-2)


def check_predictions(kind, folder, data, found):
    """What `training.predict` writes fits each photo, whichever way it lies."""
    photos = data / ("val" if kind == "detection" else "images/val")
    names = sorted(path.name for path in photos.iterdir())
    written = {"detection": ["--json", f"{found}.json"], "segmentation": ["--masks", str(found)]}
    arguments = ["--model", str(folder), "--folder", str(photos), "--draw", f"{found}-drawn"]
    assert predict.main(arguments + written[kind]) == 0
    assert len(list(Path(f"{found}-drawn").iterdir())) == len(names)
    if kind == "detection":
        for row in json.loads(Path(f"{found}.json").read_text("utf-8")):
            left, top, width, height = row["bbox"]
            assert left >= 0 and top >= 0 and max(left + width, top + height) <= 72.01
        return
    for name in names:
        with Image.open(found / name) as mask, Image.open(photos / name) as photo:
            assert mask.size == photo.size
