"""Mask R-CNN and Keypoint R-CNN: sizes, losses, training on any number of objects, saving."""

import keras
import numpy as np
import pytest
from keras import ops

from benchmarks.flops import count_macs
from keras_regionvit import KeypointRCNN, MaskRCNN, RegionViTBackbone
from keras_regionvit.tasks.detection.region_heads import POOLED
from keras_regionvit.tasks.detection.region_training import region_losses
from tests.oracles import numpy_regions as slow
from tests.oracles.numpy_detection import iou
from tests.support.pyramids import conv_backbone

MASK_ROWS = {  # parameters, and multiply-adds at 672x1120 with 1,000 regions, no masks, in billions
    ("small", False): (50_092_866, 171.0),
    ("small_w14", False): (50_860_962, 182.6),
    ("small_w14", True): (50_873_922, None),
    ("base", False): (92_120_808, 287.5),
    ("base_w14", False): (93_198_696, 306.6),
    ("base_w14", True): (93_215_976, None),
}
KEYPOINT_ROWS = {
    ("small", False): 64_882_808,
    ("small_w14", False): 65_650_904,
    ("small_w14", True): 65_663_864,
}
SLIM = {"width": 16, "head_width": 16, "proposals": 30, "training_proposals": 50, "regions": 32}
KINDS = ["masks", "keypoints"]


def detector(kind, backbone=None, dtype=None, **arguments):
    backbone = backbone or conv_backbone(dtype=dtype)
    arguments = {**SLIM, **arguments}
    if kind == "masks":
        return MaskRCNN(backbone, arguments.pop("num_classes", 3), **arguments)
    return KeypointRCNN(backbone, 5, keypoint_width=8, **arguments)


def batch_of(rng, kind, images=2, count=3, most=5, size=(96, 128)):
    """Images with `count` objects each, padded."""
    corner = rng.uniform(0, 60, (images, most, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 50, (images, most, 2))], -1)
    labels = rng.integers(0, 3 if kind == "masks" else 1, (images, most))
    boxes[:, count:], labels[:, count:] = 0, -1
    batch = {
        "image": rng.normal(size=(images, *size, 3)),
        "boxes": boxes,
        "seed": rng.integers(0, 2**31, images),
    }
    if kind == "masks":
        batch["masks"] = rng.random((images, most, 9, 9)) < 0.7
    else:
        places = corner[:, :, None] + rng.uniform(0, 40, (images, most, 5, 2))
        batch["keypoints"] = np.concatenate(
            [places, rng.integers(0, 3, (images, most, 5, 1))], axis=-1
        )
    whole = {"labels": labels, "seed": batch.pop("seed")}
    return {k: np.asarray(v, "float32") for k, v in batch.items()} | {
        k: v.astype("int32") for k, v in whole.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "peg"), MASK_ROWS)
def test_sizes_of_mask_rcnn_are_those_of_the_paper(variant, peg):
    parameters, macs = MASK_ROWS[variant, peg]
    model = MaskRCNN(RegionViTBackbone.from_variant(variant, peg=peg, pyramid_norm=True))
    assert model.count_params() == parameters
    if macs:
        raw = keras.Model(model.input, model.raw_outputs)
        found = count_macs(raw, (672, 1120, 3))
        found += 1000 * count_macs(model.box_head, (POOLED, POOLED, 256))
        assert found / 1e9 == pytest.approx(macs, rel=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "peg"), KEYPOINT_ROWS)
def test_sizes_of_keypoint_rcnn_are_those_of_the_paper(variant, peg):
    model = KeypointRCNN(RegionViTBackbone.from_variant(variant, peg=peg, pyramid_norm=True))
    assert model.count_params() == KEYPOINT_ROWS[variant, peg]


def test_without_regional_tokens_there_are_fewer_parameters():
    backbone = RegionViTBackbone.from_variant("small", regional_tokens=False, pyramid_norm=True)
    assert MaskRCNN(backbone).count_params() == MASK_ROWS["small", False][0] - 236_256


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_a_loop(kind):
    rng = np.random.default_rng(0)
    model, batch = detector(kind), batch_of(rng, kind)
    batch["labels"][1] = -1  # an image without objects
    outputs = {k: np.asarray(v) for k, v in model(batch, training=True).items()}
    for name in ("region_scores", "region_deltas", "region_masks", "region_heatmaps"):
        if name in outputs:  # as if it had learnt something
            outputs[name] = rng.normal(0, 2, outputs[name].shape).astype("float32")
    found = {k: np.asarray(v) for k, v in model.losses_of(batch, outputs).items()}
    assert outputs["region_counts"].all()
    assert (outputs["region_object"][0] >= 0).any()
    for i in range(2):
        regions, objects = outputs["regions"][i].astype("f8"), outputs["region_object"][i]
        boxes, labels = batch["boxes"][i].astype("f8"), batch["labels"][i]
        scores, deltas = (outputs[f"region_{k}"][i].astype("f8") for k in ("scores", "deltas"))
        beta = model.box_beta
        expected = slow.box_losses(regions, objects, boxes, labels, scores, deltas, beta)
        np.testing.assert_allclose(found["class_loss"][i], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found["box_loss"][i], expected[1], rtol=1e-4)
        count = len(outputs[model.shape_output][i])
        regions, objects = regions[:count], objects[:count]
        said = outputs[model.shape_output][i].astype("f8")
        if kind == "masks":
            masks = batch["masks"][i].astype("f8")
            expected = slow.mask_loss(regions, objects, boxes, labels, masks, said)
            # a place that is covered by about half may fall on either side
            np.testing.assert_allclose(found["mask_loss"][i], expected, rtol=5e-3)
        else:
            large = np.asarray(ops.image.resize(said, (56, 56), data_format="channels_last"))
            expected = slow.keypoint_loss(regions, objects, batch["keypoints"][i], large)
            np.testing.assert_allclose(found["keypoint_loss"][i], expected, rtol=1e-5)
    assert found["box_loss"][1] == found[f"{kind[:-1]}_loss"][1] == found["proposal_loss"][1] == 0


def test_the_smooth_loss_of_boxes_belongs_to_keypoints():
    rng = np.random.default_rng(0)
    model, batch = detector("keypoints"), batch_of(rng, "keypoints")
    outputs = model(batch, training=True)
    assert model.box_beta == 0.5
    smooth = region_losses(batch, outputs, beta=0.5)["box_loss"]
    assert np.all(smooth < region_losses(batch, outputs)["box_loss"])
    np.testing.assert_array_equal(model.losses_of(batch, outputs)["box_loss"], smooth)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dtype", "jit_compile"),
    [
        ("masks", None, False),
        ("masks", "mixed_bfloat16", True),
        ("keypoints", None, True),
        ("keypoints", "mixed_bfloat16", False),
    ],
)
def test_any_number_of_objects_trains(kind, dtype, jit_compile):
    rng = np.random.default_rng(0)
    model = detector(kind, dtype=dtype)
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=jit_compile)
    batches = [batch_of(rng, kind, count=count, most=200) for count in (0, 1, 200)]
    batches[1]["labels"][0] = -1  # an image without any beside one with one
    traces, compute_loss = [], model.compute_loss
    model.compute_loss = lambda *args, **kwargs: traces.append(1) or compute_loss(*args, **kwargs)
    for _ in range(3):
        for batch in batches:
            logs = model.train_on_batch(batch, return_dict=True)
            assert all(np.isfinite(value) for value in logs.values())
    assert len(traces) == 1
    assert all(np.isfinite(v).all() for v in map(ops.convert_to_numpy, model.weights))
    assert all(np.isfinite(value) for value in model.evaluate(batch, verbose=0))


def test_one_seed_draws_the_same_and_none_draws_anew():
    rng = np.random.default_rng(0)
    model, batch = detector("masks", training_proposals=200), batch_of(rng, "masks")

    def drawn(batch):
        return np.asarray(model(batch, training=False)["regions"])

    np.testing.assert_array_equal(drawn(batch), drawn(batch))
    other = {**batch, "seed": batch["seed"] + 1}
    assert not np.array_equal(drawn(batch), drawn(other))
    del batch["seed"]
    assert not np.array_equal(drawn(batch), drawn(batch))


def test_it_learns_one_image():
    rng = np.random.default_rng(0)
    batch = batch_of(rng, "masks", images=1, count=2, size=(64, 64))
    batch["boxes"][0, :2] = [[4, 6, 40, 30], [20, 28, 60, 62]]
    batch["labels"][0, :2] = [0, 2]
    batch["masks"][0, :2] = np.tril(np.ones((9, 9)))
    for box, value in zip(batch["boxes"][0, :2].astype(int), (3.0, -3.0), strict=True):
        batch["image"][0, box[1] : box[3], box[0] : box[2]] = value
    keras.utils.set_random_seed(1)
    model = detector("masks", paste_masks=True, backbone=conv_backbone((16, 16, 16, 16)))
    del batch["seed"]
    model.compile(keras.optimizers.Adam(3e-3))
    for _ in range(200):
        model.train_on_batch(batch)
    found = {k: np.asarray(v[0]) for k, v in model(batch["image"]).items()}
    best = {k: int(np.flatnonzero(found["classes"] == k)[0]) for k in (0, 2)}
    for n, k in enumerate((0, 2)):
        box = batch["boxes"][0, n]
        assert iou(found["boxes"][best[k]], box) > 0.6
        assert found["scores"][best[k]] > 0.5
        expected = slow.paste(np.tril(np.ones((9, 9))), box, 64, 64) >= 0.5
        mask = found["masks"][best[k]]
        assert (mask & expected).sum() / (mask | expected).sum() > 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind, tmp_path):
    backbone = RegionViTBackbone((8, 16, 32, 64), (1, 1, 1, 1), window_size=2, pyramid_norm=True)
    model = detector(kind, backbone, include_preprocessing=True, score_threshold=0.0)
    model.get_layer("pixel_normalization").mean.assign([1.0, 2.0, 3.0])
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 64, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model) and isinstance(loaded.backbone, RegionViTBackbone)
    assert loaded.get_config() == model.get_config()
    assert int(model(image)["count"][0]) > 0
    for name, value in model(image).items():
        np.testing.assert_array_equal(value, loaded(image)[name])
    model.save_weights(tmp_path / "model.weights.h5")
    other = type(model).from_config(model.get_config())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(image)["scores"], model(image)["scores"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 96), (70, 33), (1, 1)])
def test_sizes_of_images(kind, size):
    model = detector(
        kind, score_threshold=0.0, **({"paste_masks": True} if kind == "masks" else {})
    )
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    found = {k: np.asarray(v) for k, v in model(images).items()}
    predicted = model.predict(images, verbose=0)
    for name, value in found.items():
        np.testing.assert_allclose(predicted[name], value, atol=1e-4)
    assert found["boxes"].shape == (2, 100, 4)
    assert np.all(found["boxes"] <= (*size[::-1], *size[::-1]))
    if kind == "masks":
        assert found["box_masks"].shape == (2, 100, 28, 28)
        assert found["masks"].shape == (2, 100, *size)
    else:
        assert found["keypoints"].shape == (2, 100, 5, 3)
    for i, count in enumerate(found["count"]):
        rest = [v[i, count:] for k, v in found.items() if k not in ("count", "classes")]
        assert not any(np.any(value) for value in rest)


def test_masks_are_pasted_only_on_request():
    assert "masks" not in detector("masks").output
    model = detector("masks", paste_masks=True)
    assert model.output["masks"].shape == (None, 100, None, None)


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_classes": 0},
        {"paste_masks": 1},
        {"score_threshold": 1.5},
        {"regions": 0},
        {"regions": 3},
        {"proposals": 2.5},
        {"head_width": -1},
    ],
)
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
        detector("masks", **arguments)


def test_a_backbone_without_the_second_level():
    with pytest.raises(ValueError, match=r"P2 to P5 of a pyramid\. Received one without P2"):
        detector("masks", backbone=conv_backbone((4, 6, 8), first=3))


def test_what_is_not_learnt_from():
    model, batch = detector("masks"), batch_of(np.random.default_rng(0), "masks")
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False, run_eagerly=True)
    images = batch.pop("image")
    with pytest.raises(ValueError, match="learns from one dict with image, boxes"):
        model.train_on_batch(images, batch)
    del batch["masks"]
    with pytest.raises(ValueError, match="without masks"):
        model.train_on_batch({"image": images, **batch})
