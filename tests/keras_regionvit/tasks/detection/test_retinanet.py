"""RetinaNet: sizes, training on any number of objects, saving, the detections of its call."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_regionvit
from benchmarks.flops import count_macs
from keras_regionvit import RegionViTBackbone, RetinaNet
from keras_regionvit.tasks.detection.anchors import RATIOS, retinanet_sizes
from keras_regionvit.tasks.detection.retinanet import LEVELS
from tests.oracles import numpy_detection as slow
from tests.support.pyramids import conv_backbone

ROWS = {  # parameters, and multiply-adds at 672x1120 in billions
    ("small", False): (40_757_062, 192.3),
    ("small_w14", False): (41_525_158, 204.0),
    ("small_w14", True): (41_538_118, None),
    ("base", False): (83_366_636, 308.5),
    ("base_w14", False): (84_444_524, 327.7),
    ("base_w14", True): (84_461_804, None),
}


def detector(classes=3, dtype=None, **arguments):
    return RetinaNet(conv_backbone(dtype=dtype), classes, width=16, **arguments)


def objects(rng, batch, count, most, size=(96, 128), classes=3):
    """Padded boxes and labels of a batch, `count` objects an image."""
    corner = rng.uniform(0, 60, (batch, most, 2))
    # neither inside of several of the least anchors nor around them: they would share the same
    boxes = np.concatenate([corner, corner + rng.uniform(26, 38, (batch, most, 2))], -1)
    labels = rng.integers(0, classes, (batch, most))
    boxes[:, count:], labels[:, count:] = 0, -1
    return {"boxes": boxes.astype("float32"), "labels": labels.astype("int32")}


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "peg"), ROWS)
def test_sizes_are_those_of_the_paper(variant, peg):
    parameters, macs = ROWS[variant, peg]
    model = RetinaNet(RegionViTBackbone.from_variant(variant, peg=peg, pyramid_norm=True))
    assert model.count_params() == parameters
    if macs:
        raw = keras.Model(model.input, model.raw_outputs)
        assert count_macs(raw, (672, 1120, 3)) / 1e9 == pytest.approx(macs, rel=5e-4)


def test_without_regional_tokens_there_are_fewer_parameters():
    backbone = RegionViTBackbone.from_variant("small", regional_tokens=False, pyramid_norm=True)
    assert RetinaNet(backbone).count_params() == ROWS["small", False][0] - 236_256


def test_every_anchor_begins_with_the_prior():
    model = detector()
    raw = keras.Model(model.input, model.raw_outputs)(np.zeros((1, 64, 64, 3), "float32"))
    assert abs(float(keras.ops.sigmoid(raw["p4_logits"][0, 0, 0, 0])) - 0.01) < 1e-3
    assert not np.any(model.get_layer("box_deltas").bias)


@pytest.mark.parametrize(("name", "deviation"), [("normal", 0.01), ("he_normal", (2 / 144) ** 0.5)])
def test_towers_begin_as_asked(name, deviation):
    model = detector(tower_initializer=name)
    assert model.get_config()["tower_initializer"] == name
    for layer in ("class_tower0", "box_tower3"):
        kernel = np.asarray(model.get_layer(layer).kernel)  # (3, 3, 16, 16)
        assert np.std(kernel) == pytest.approx(deviation, rel=0.1)
    assert np.std(model.get_layer("class_logits").kernel) == pytest.approx(0.01, rel=0.1)
    first, second = (np.asarray(model.get_layer(f"class_tower{i}").kernel) for i in (0, 1))
    assert not np.array_equal(first, second)


def test_towers_begin_in_no_other_way():
    with pytest.raises(ValueError, match="`tower_initializer` must be 'normal' or 'he_normal'"):
        detector(tower_initializer="zeros")


@pytest.mark.parametrize("size", [(64, 96), (70, 33)], ids=["whole", "padded"])
def test_losses_are_those_of_a_loop(size):
    rng = np.random.default_rng(0)
    model = detector(classes=2)
    outputs = model(rng.normal(size=(2, *size, 3)).astype("float32"), training=True)
    target = objects(rng, 2, 3, 5, classes=2)
    target["labels"][1] = -1
    sums, positives = model.losses_of(target["boxes"], target["labels"], outputs)
    expected = np.zeros(3)
    for i, count in enumerate((3, 0)):
        anchors, logits, deltas = [], [], []
        for level in LEVELS:
            x = outputs[f"p{level}_logits"][i]
            anchors.append(slow.anchors(*x.shape[:2], 2**level, retinanet_sizes(level), RATIOS))
            logits.append(np.reshape(x, (-1, 2)))
            deltas.append(np.reshape(outputs[f"p{level}_deltas"][i], (-1, 4)))
        parts = (np.concatenate(x).astype("float64") for x in (anchors, logits, deltas))
        boxes = target["boxes"][i][:count].astype("float64")
        expected += slow.retinanet_losses(boxes, target["labels"][i], *parts)
    found = float(sums["class_loss"]), float(sums["box_loss"]), float(positives)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_any_number_of_objects_trains(dtype, jit_compile):
    rng = np.random.default_rng(0)
    model = detector(dtype=dtype)
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=jit_compile)
    images = rng.normal(size=(2, 64, 96, 3)).astype("float32")
    batches = [objects(rng, 2, count, 200) for count in (0, 1, 200, 0, 7)]
    batches[1]["labels"][0] = -1  # an image without any beside one with one
    traces, compute_loss = [], model.compute_loss
    model.compute_loss = lambda *args, **kwargs: traces.append(1) or compute_loss(*args, **kwargs)
    for _ in range(4):
        for batch in batches:
            logs = model.train_on_batch(images, batch, return_dict=True)
            assert all(np.isfinite(value) for value in logs.values())
    assert len(traces) == 1
    assert all(np.isfinite(v).all() for v in map(keras.ops.convert_to_numpy, model.weights))
    assert all(np.isfinite(value) for value in model.evaluate(images, batch, verbose=0))


def test_gradients_reach_every_weight():
    rng = np.random.default_rng(0)
    model = detector()
    target = objects(rng, 1, 2, 2)
    with tf.GradientTape() as tape:
        outputs = model(rng.normal(size=(1, 64, 64, 3)).astype("float32"), training=True)
        sums, _ = model.losses_of(target["boxes"], target["labels"], outputs)
        loss = sum(sums.values())
    for variable, gradient in zip(
        model.trainable_variables,
        tape.gradient(loss, [v.value for v in model.trainable_variables]),
        strict=True,
    ):
        if not variable.path.startswith("conv2d/"):  # level 2 feeds level 3 here, too
            assert gradient is not None and np.any(gradient), variable.path


def test_it_learns_one_image_by_heart():
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.1, (1, 64, 64, 3)).astype("float32")
    image[0, 8:40, 16:48, 0] += 3
    target = {
        "boxes": np.array([[[16, 8, 48, 40], [0, 0, 0, 0]]], "float32"),
        "labels": np.array([[1, -1]], "int32"),
    }
    model = detector()
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    model.fit(image, target, epochs=120, verbose=0)
    found = model.predict(image, verbose=0)
    assert found["count"][0] >= 1 and found["classes"][0, 0] == 1 and found["scores"][0, 0] > 0.5
    assert slow.iou(found["boxes"][0, 0], target["boxes"][0, 0]) > 0.8


def test_the_call_gives_detections_of_any_size():
    model = detector(max_detections=7, score_threshold=0.0)
    for size in ((33, 50), (64, 96), (1, 1)):
        found = model(np.ones((2, *size, 3), "float32"))
        assert {k: tuple(v.shape) for k, v in found.items()} == {
            "boxes": (2, 7, 4),
            "scores": (2, 7),
            "classes": (2, 7),
            "count": (2,),
        }
        boxes = np.asarray(found["boxes"])
        assert (boxes >= 0).all() and (boxes <= (size[1], size[0], size[1], size[0])).all()
    none = detector(score_threshold=0.5)(np.ones((1, 64, 64, 3), "float32"))
    assert none["count"].numpy().tolist() == [0] and not np.any(none["boxes"])


def test_raw_outputs_are_those_of_the_image_padded_with_zeros():
    model = detector()
    raw = keras.Model(model.input, model.raw_outputs)
    image = np.random.default_rng(0).normal(size=(1, 40, 70, 3)).astype("float32")
    padded = np.pad(image, ((0, 0), (0, 24), (0, 26), (0, 0)))
    for name, value in raw(image).items():
        np.testing.assert_allclose(value, raw(padded)[name], rtol=1e-5, atol=1e-6)
    assert list(model.raw_outputs)[:6] == ["p3", "p4", "p5", "p6", "p7", "p3_logits"]


def test_saved_and_loaded(tmp_path):
    backbone = RegionViTBackbone((8, 16, 32, 64), (1, 1, 1, 1), window_size=2, pyramid_norm=True)
    model = RetinaNet(backbone, 3, width=16, include_preprocessing=True, score_threshold=0.0)
    model.get_layer("pixel_normalization").mean.assign([1.0, 2.0, 3.0])
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 64, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, RetinaNet) and isinstance(loaded.backbone, RegionViTBackbone)
    assert loaded.get_config() == model.get_config()
    for name, value in model(image).items():
        np.testing.assert_array_equal(value, loaded(image)[name])
    model.save_weights(tmp_path / "model.weights.h5")
    other = RetinaNet.from_config(model.get_config())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(image)["scores"], model(image)["scores"])


def test_what_is_frozen_stays_frozen_in_a_file(tmp_path):
    backbone = RegionViTBackbone((8, 16, 32, 64), (1, 1, 1, 1), window_size=2)
    model = RetinaNet(backbone, np.int64(3), width=16)
    model.backbone.trainable = False
    model.backbone.get_layer("stage4").trainable = True
    model.get_layer("box_deltas").trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    learn = [v.path for v in model.trainable_variables]
    assert [v.path for v in loaded.trainable_variables] == learn
    assert 0 < len(learn) < len(RetinaNet(conv_backbone(), 3).trainable_variables) + 60


def test_a_frozen_backbone_stays_as_it_is():
    model = detector()
    model.backbone.trainable = False
    before = [np.array(v) for v in model.backbone.weights]
    rng = np.random.default_rng(0)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    model.train_on_batch(rng.normal(size=(1, 64, 64, 3)), objects(rng, 1, 2, 2))
    for variable, value in zip(model.backbone.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_classes": 0},
        {"num_classes": 2.5},
        {"score_threshold": 1.5},
        {"iou_threshold": -0.1},
        {"max_detections": 0},
    ],
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RetinaNet(conv_backbone(), **arguments)


def test_a_backbone_without_levels():
    plain = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="pyramid_outputs"):
        keras_regionvit.RetinaNet(plain)
    with pytest.raises(ValueError, match="without P4, P5"):
        keras_regionvit.RetinaNet(conv_backbone(widths=(4, 6)))
