"""Mask R-CNN and Keypoint R-CNN as SavedModels of encoded images: all in pixels as sent."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_regionvit.export.detection import export_detector
from tests.oracles import numpy_regions as slow
from tests.support.region_detectors import region_detector

pytestmark = pytest.mark.slow

FILL = (123.675, 116.28, 103.53)
SIZES = {"masks": (64, 96), "keypoints": 64}  # of the canvas
NAMES = {"masks": ["ant", "bee", "cat"], "keypoints": ["person"]}
LYING, STANDING, EMPTY = (40, 70), (57, 31), (30, 50)  # rows, columns


def photos():
    rng = np.random.default_rng(0)
    noise = [rng.normal(120, 60, (*sides, 3)) for sides in (LYING, STANDING)]
    plain = np.broadcast_to(FILL, (*EMPTY, 3))
    return [np.clip(np.rint(photo), 0, 255).astype("uint8") for photo in (*noise, plain)]


@pytest.fixture(scope="module", params=SIZES)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def model(kind):
    pasting = {"paste_masks": True} if kind == "masks" else {}
    return region_detector(kind, include_preprocessing=True, **pasting)


@pytest.fixture(scope="module")
def signatures(kind, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "1"
    export_detector(model, folder, NAMES[kind], size=SIZES[kind], fill=FILL)
    card = json.loads((folder / "assets.extra/model_card.json").read_text("utf-8"))
    assert card["classes"] == len(NAMES[kind])
    assert kind in card["signatures"]["serving_default"]["outputs"]
    return tf.saved_model.load(str(folder)).signatures


def on_canvas(photo, size):
    """The photo on its canvas, and rows and columns that it fills of it."""
    sides = np.array(photo.shape[:2])
    canvas = np.array([size] * 2 if isinstance(size, int) else size)
    canvas = canvas[::-1] if sides[0] > sides[1] else canvas
    fitted = np.rint(sides * min(canvas / sides)).astype(int)
    image = np.tile(np.float32(FILL), (1, *canvas, 1))
    image[0, : fitted[0], : fitted[1]] = tf.image.resize(photo, fitted, antialias=True)
    return image, fitted


def test_all_is_in_pixels_of_the_photo_as_sent(kind, model, signatures):
    shown = photos()
    encoded = [tf.io.encode_png(photo).numpy() for photo in shown]
    request = tf.constant([encoded[0], b"no image", *encoded[1:], encoded[0][:60]])
    answer = {k: v.numpy() for k, v in signatures["serving_default"](image_bytes=request).items()}
    usual = {"boxes", "scores", "classes", "labels", "count", "valid"}
    assert set(answer) == usual | {kind}
    assert answer["valid"].tolist() == [True, False, True, True, False]
    assert answer["count"][0] > 3 and answer["count"][2] > 3
    assert answer["count"][[1, 3, 4]].tolist() == [0, 0, 0]
    cut = 0
    for i, photo in ((0, shown[0]), (2, shown[1]), (3, shown[2])):
        image, fitted = on_canvas(photo, SIZES[kind])
        found = {k: v[0] for k, v in model.predict(image, verbose=0).items()}
        count, sides = int(answer["count"][i]), photo.shape[:2]
        assert count == found["count"]
        np.testing.assert_allclose(answer["scores"][i], found["scores"], atol=1e-5)
        np.testing.assert_array_equal(answer["classes"][i], found["classes"])
        names = [NAMES[kind][k].encode() for k in found["classes"][:count]]
        assert answer["labels"][i].tolist() == names + [b""] * (12 - count)
        ratio, limit = (np.array(pair, "f8")[::-1] for pair in (sides / fitted, sides))
        boxes = found["boxes"].reshape(-1, 2, 2) * ratio
        expected = np.minimum(boxes, limit).reshape(-1, 4)
        np.testing.assert_allclose(answer["boxes"][i], expected, atol=1e-3)
        cut += np.sum(boxes > limit + 1)
        if kind == "masks":
            check_masks(answer["masks"][i], found["box_masks"][:count], boxes, sides)
        else:
            points = answer["keypoints"][i]
            expected = np.minimum(found["keypoints"][..., :2] * ratio, limit)
            np.testing.assert_allclose(points[..., :2], expected, atol=1e-3)
            np.testing.assert_allclose(points[..., 2], found["keypoints"][..., 2], atol=1e-5)
    assert cut  # some box reached beyond a photo
    for i in (1, 3, 4):
        assert not any(np.any(answer[k][i]) for k in ("boxes", "scores", "labels", kind))
        assert np.all(answer["classes"][i] == -1)


def check_masks(written, masks, boxes, sides):
    """Each PNG has the pixels of 0.5 or more, by slow arithmetic."""
    assert not any(written[len(masks) :])
    for png, mask, box in zip(written, masks, boxes.reshape(-1, 4), strict=False):
        pixels = tf.io.decode_png(png).numpy()
        assert pixels.shape == (*sides, 1) and set(np.unique(pixels)) <= {0, 255}
        expected = slow.paste(mask.astype("f8"), box, *sides)
        clear = np.abs(expected - 0.5) > 1e-3
        assert np.mean(clear) > 0.98
        np.testing.assert_array_equal(pixels[clear, 0] == 255, expected[clear] >= 0.5)


def test_no_image_at_all_and_pixels(kind, model, signatures):
    answer = signatures["serving_default"](image_bytes=tf.constant([], tf.string))
    assert all(len(value) == 0 for value in answer.values()) and answer[kind].shape[1] == 12
    image = on_canvas(photos()[0], 64)[0]
    found = signatures["predict_pixels"](images=tf.constant(image))
    expected = model.predict(image, verbose=0)
    assert set(found) == {*expected, "labels"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
