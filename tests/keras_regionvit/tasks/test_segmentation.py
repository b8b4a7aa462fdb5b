"""Semantic FPN: sizes, any image, labels that count for nothing, saving."""

import math

import keras
import numpy as np
import pytest

from benchmarks.flops import count_macs
from keras_regionvit import RegionViTBackbone, SemanticFPN
from keras_regionvit.tasks.segmentation import ResizeAs
from tests.support.pyramids import conv_backbone

# Trainable parameters in millions; multiply-adds at 448x448 in billions, without the products of
# attention.
ROWS = {
    ("small", False): (34.19, 37.30),
    ("small_w14", True): (34.97, 36.92),
    ("base_w14", True): (77.32, 66.88),
}


def segmenter(classes=3, dtype=None, **arguments):
    return SemanticFPN(conv_backbone(dtype=dtype), classes, width=16, head_width=8, **arguments)


def trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def attention_products(backbone, size):
    """Multiply-adds of queries with keys and of weights with values, for a square image."""
    windows, total = backbone.window_size, 0
    for stage, (width, depth, window) in enumerate(
        zip(backbone.embed_dims, backbone.depths, windows, strict=True)
    ):
        regions = math.ceil(size / 4 / 2**stage / window) ** 2
        total += depth * 2 * width * (regions**2 + regions * (1 + window**2) ** 2)
    return total


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "peg"), ROWS)
def test_sizes_are_those_of_the_paper(variant, peg):
    backbone = RegionViTBackbone.from_variant(variant, peg=peg, pyramid_norm=True)
    model = SemanticFPN(backbone)
    parameters, macs = ROWS[variant, peg]
    assert round(trainable(model) / 1e6, 2) == parameters
    counted = count_macs(model, (448, 448, 3)) - attention_products(backbone, 448)
    assert counted / 1e9 == pytest.approx(macs, rel=5e-4)
    head = trainable(model) - trainable(backbone)
    laterals = sum(width * 256 + 256 for width in backbone.embed_dims)
    assert head - laterals - 4 * (9 * 256 * 256 + 256) == 1_643_158  # mmsegmentation's FPN head


def test_without_regional_tokens_there_are_fewer_parameters():
    sizes = [
        trainable(SemanticFPN(RegionViTBackbone.from_variant("small", regional_tokens=regional)))
        for regional in (True, False)
    ]
    assert sizes[0] - sizes[1] == 236_256


@pytest.mark.parametrize("size", [(64, 96), (45, 33), (7, 100)])
def test_logits_have_the_size_of_the_image(size):
    assert segmenter()(np.ones((2, *size, 3), "float32")).shape == (2, *size, 3)


@pytest.mark.parametrize("sizes", [((3, 5), (6, 9)), ((4, 4), (16, 16)), ((6, 5), (3, 2))])
def test_resizing_is_bilinear(sizes):
    (h, w), (height, width) = sizes
    maps = np.random.default_rng(0).normal(size=(1, h, w, 2)).astype("float32")
    found = ResizeAs()([maps, np.zeros((1, height, width, 1), "float32")])
    expected = np.zeros((1, height, width, 2))
    for i in range(height):
        for j in range(width):
            y = np.clip((i + 0.5) * h / height - 0.5, 0, h - 1)
            x = np.clip((j + 0.5) * w / width - 0.5, 0, w - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
            y, x = y - top, x - left
            expected[0, i, j] = (1 - y) * ((1 - x) * maps[0, top, left] + x * maps[0, top, right])
            expected[0, i, j] += y * ((1 - x) * maps[0, bottom, left] + x * maps[0, bottom, right])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_pixels_without_a_class_count_for_nothing(dtype):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, 3, (2, 32, 32))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    labels[:, 16:] = 255
    model = segmenter(dtype=dtype)
    whole = float(loss(labels, model(images)))
    half = float(loss(labels[:, :16], model(images)[:, :16]))
    np.testing.assert_allclose(whole, half, rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, jit_compile=False)
    for batch in (labels, np.full_like(labels, 255)):
        model.train_on_batch(images, batch)
    assert all(np.isfinite(v).all() for v in map(keras.ops.convert_to_numpy, model.weights))


def test_it_learns_one_image_by_heart():
    keras.utils.set_random_seed(0)
    image = np.random.default_rng(0).normal(0, 0.1, (1, 32, 48, 3)).astype("float32")
    labels = np.zeros((1, 32, 48), "int32")
    labels[0, 8:24, 8:24], labels[0, :, 40:] = 1, 2
    image[0, ..., 0] += labels[0]
    model = segmenter(dropout_rate=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss=loss, jit_compile=False)
    model.fit(image, labels, epochs=80, verbose=0)
    found = np.argmax(model(image, training=True), axis=-1)
    assert np.mean(found == labels) > 0.95


def test_saved_and_loaded(tmp_path):
    backbone = RegionViTBackbone((16, 32, 64, 128), (1, 1, 1, 1), window_size=2)
    model = SemanticFPN(backbone, 3, width=16, head_width=8, include_preprocessing=True)
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 30, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, SemanticFPN) and loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded(image), model(image))


@pytest.mark.parametrize("arguments", [{"num_classes": 0}, {"dropout_rate": 1.0}, {"width": -1}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        SemanticFPN(conv_backbone(), **arguments)


def test_a_backbone_without_levels():
    with pytest.raises(ValueError, match="without P5"):
        SemanticFPN(conv_backbone(widths=(4, 6, 8)))
