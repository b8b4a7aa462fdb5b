"""Detection and segmentation as tasks: what follows the image, the metrics, what is served."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.dense_sets import coco, put_coco
from training import train
from training.data.sources.source import Source, shuffled_range
from training.recipes import catalogue
from training.tasks import open_task


@pytest.fixture(scope="module")
def detection():
    return open_task(catalogue.smoke("quickstart_detection"))


def photo_source(boxes, labels, crowd):
    """One photo of 40 rows and 80 columns."""
    image = np.random.default_rng(0).integers(0, 255, (40, 80, 3)).astype("uint8")
    example = {
        "image": tf.constant(image),
        "boxes": tf.constant(boxes, tf.float32, (len(labels), 4)),
        "labels": tf.constant(labels, tf.int64),
        "crowd": tf.constant(crowd, tf.bool),
        "area": tf.constant([9.0] * len(labels)),
        "index": tf.constant(0, tf.int64),
    }
    info = {"class_names": ("a", "b"), "category_ids": (1, 5), "channels": 3}
    return example, info, Source("one", info, 1, lambda seed: shuffled_range(1, seed), None, None)


def test_objects_are_on_the_canvas(detection):
    example, info, _ = photo_source([[8, 4, 40, 20], [0, 0, 80, 40]], [1, 0], [False, True])
    image, targets = detection.preparation(info, training=False)(example, None)
    assert image.shape == (64, 64, 3) and not np.any(image[32:])  # 40x80 fills 32x64
    np.testing.assert_allclose(
        targets["boxes"][:2], [[6.4, 3.2, 32, 16], [0, 0, 64, 32]], atol=1e-4
    )
    np.testing.assert_array_equal(targets["labels"][:3], [1, 0, -1])
    np.testing.assert_allclose(targets["scale"], [1.25, 1.25])
    _, targets = detection.preparation(info, training=True)(example, tf.constant([1, 2]))
    assert sorted(targets["labels"].numpy().tolist())[-1] == 1  # a crowd is not learnt
    assert 0 not in targets["labels"].numpy()


def test_detections_are_written_under_the_numbers_of_the_data(tmp_path):
    """Those of a COCO file, which need neither begin at 0 nor be numbers."""
    images = [{"id": 7, "file_name": "0.png"}, {"id": "b", "file_name": "1.png"}]
    put_coco(tmp_path / "set", "annotations.json", coco(0, images=images))
    low = {"data.source": "coco", "detection.score_threshold": 0.001, "detection.width": 8}
    task = open_task(catalogue.smoke("quickstart_detection").with_values(low))
    source = task.open_split("all", tmp_path / "set")
    task.draw(task.build_model(source.info), source, tmp_path)
    rows = json.loads((tmp_path / "detections.json").read_text("utf-8"))
    assert {row["image_id"] for row in rows} == {7, "b"}


@pytest.mark.parametrize("count", [0, 2])
def test_perfect_detections_have_an_ap_of_one(detection, count):
    example, info, _ = photo_source([[8, 4, 40, 20], [50, 6, 80, 40]][:count], [1, 0][:count],
                                    [False, False][:count])  # fmt: skip
    _, targets = detection.preparation(info, training=False)(example, None)
    targets = {name: value[None] for name, value in targets.items()}
    real = targets["labels"] >= 0
    outputs = {
        "boxes": targets["boxes"],
        "scores": tf.cast(real, tf.float32) * 0.9,
        "classes": targets["labels"],
        "count": tf.reduce_sum(tf.cast(real, tf.int32), axis=1),
    }
    evaluator = detection.evaluator(info)
    evaluator.update(*evaluator.measure(targets, outputs, tf.ones(1)))
    assert evaluator.result()["AP"] == pytest.approx(1.0 if count else -1)


def test_what_would_have_no_effect_is_refused():
    recipe = catalogue.load("quickstart_detection").RECIPE
    for text in ("augment.mixup=0.5", "evaluate.crop_ratio=0.9", "data.image_size=250"):
        key, _, value = text.partition("=")
        with pytest.raises(ValueError, match=key.replace(".", r"\.")):
            recipe.with_overrides({key: value})
    with pytest.raises(ValueError, match=r"detection\.greatest_scale"):
        recipe.with_overrides({"detection.greatest_scale": "0.5"})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detection", "segmentation", "mask_rcnn", "keypoint_rcnn"])
def test_from_the_command_to_the_served_model(kind, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--recipe", f"quickstart_{kind}", "--smoke", "--output", str(folder)]
    assert train.main(arguments) == 0, capsys.readouterr().err
    report = json.loads((folder / "report.json").read_text("utf-8"))
    model = keras.models.load_model(folder / "model.keras")
    served = tf.saved_model.load(str(folder / "saved_model" / "1")).signatures
    photo = np.random.default_rng(0).integers(0, 255, (50, 100, 3)).astype("uint8")
    png = tf.io.encode_png(photo).numpy()
    answer = served["serving_default"](image_bytes=tf.constant([png, b"no image", png]))
    assert answer["valid"].numpy().tolist() == [True, False, True]
    fill = np.array(open_task(catalogue.smoke(f"quickstart_{kind}")).recipe.data.mean, "float32")
    canvas = np.tile(fill, (1, 64, 64, 1))
    canvas[0, :32] = tf.image.resize(photo, (32, 64), antialias=True)
    expected = model.predict(canvas, verbose=0)
    if kind == "segmentation":
        assert 0 <= report["mean_iou"] <= 1 and (folder / "classes.csv").exists()
        mask = tf.io.decode_png(answer["mask_png"][0]).numpy()[..., 0]
        assert mask.shape == (50, 100) and answer["mask_png"][1] == b""
        small = np.argmax(expected[0, :32], axis=-1)
        resized = tf.image.resize(small[..., None], (50, 100), method="nearest")
        assert np.mean(mask == resized[..., 0]) > 0.99
        return
    assert report["AP50"] >= 0 and (folder / "detections.json").exists()
    count = int(expected["count"][0])
    assert answer["count"].numpy().tolist() == [count, 0, count]
    np.testing.assert_allclose(answer["scores"][0], expected["scores"][0], atol=1e-5)
    boxes = np.minimum(expected["boxes"][0] * 100 / 64, [100, 50, 100, 50])
    np.testing.assert_allclose(answer["boxes"][0], boxes, atol=1e-2)
    assert not np.any(answer["boxes"][1]) and set(answer["labels"][1].numpy()) == {b""}
    for name, prefix in (("masks", "mask_AP"), ("keypoints", "keypoint_AP")):
        assert (name in answer) == (prefix in report) == (name[:4] == kind[:4])
