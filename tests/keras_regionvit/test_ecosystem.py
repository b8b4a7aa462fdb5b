"""As the backbone of other people's models."""

import keras
import numpy as np
import pytest

import keras_regionvit


def small_backbone(**arguments):
    return keras_regionvit.RegionViTBackbone(
        (8, 16, 32, 64), (1, 1, 1, 1), window_size=4, pyramid_norm=True, **arguments
    )


# keras_cv 0.9 asks numpy and Keras for things that they have renamed since
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_retinanet_of_keras_cv():
    keras_cv = pytest.importorskip("keras_cv")
    model = keras_cv.models.RetinaNet(
        num_classes=3, bounding_box_format="xyxy", backbone=small_backbone()
    )
    images = np.random.default_rng(0).standard_normal((2, 128, 192, 3)).astype("float32")
    outputs = model({"images": images})
    anchors = 9 * sum(-(-128 // 2**level) * -(-192 // 2**level) for level in (3, 4, 5, 6, 7))
    assert outputs["box"].shape == (2, anchors, 4)
    assert np.isfinite(keras.ops.convert_to_numpy(outputs["classification"])).all()


def test_deeplab_of_keras_hub():
    keras_hub = pytest.importorskip("keras_hub")
    encoder = small_backbone(input_shape=(64, 96, 3))
    backbone = keras_hub.models.DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[6, 12, 18],
        low_level_feature_key="P2",
        image_shape=(64, 96, 3),
    )
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter(backbone, num_classes=4)
    images = np.random.default_rng(0).standard_normal((1, 64, 96, 3)).astype("float32")
    assert segmenter(images).shape == (1, 64, 96, 4)


@pytest.mark.parametrize("kind", ["RetinaNet", "SemanticFPN"])
def test_dense_models_on_a_backbone_of_keras_hub(kind, tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 8, 8, 8],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    model = getattr(keras_regionvit, kind)(backbone, 4, width=16)
    images = np.random.default_rng(0).standard_normal((1, 64, 96, 3)).astype("float32")
    found = model(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")(images)
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(loaded), strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
