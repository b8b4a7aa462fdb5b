"""What learns stays so through a `.keras` file: frozen parts, LoRA, the optimizer's state."""

import json

import keras
import numpy as np
import pytest

import keras_regionvit


def new_model():
    keras.utils.set_random_seed(0)
    backbone = keras_regionvit.RegionViTBackbone(
        (8, 16), (1, 2), window_size=2, peg=True, input_shape=(8, 8, 3)
    )
    return keras_regionvit.build_classifier(backbone, 3)


def freeze_all(model):
    model.backbone.trainable = False


def freeze_a_stage(model):
    model.backbone.get_layer("stage1").trainable = False


def freeze_all_but_a_stage(model):
    model.backbone.trainable = False
    model.backbone.trainable = True
    for layer in model.backbone.layers:
        layer.trainable = layer.name == "stage2"


def freeze_deep_inside(model):
    model.backbone.get_layer("stage2").encoders[1].attention.proj.trainable = False
    model.get_layer("norm").trainable = False


def freeze_the_whole(model):
    model.trainable = False
    model.trainable = True
    model.backbone.trainable = False
    model.backbone.get_layer("stage2").encoders[0].mlp.trainable = True


def lora(model):
    model.backbone.enable_lora(2)


def lora_and_frozen(model):
    model.backbone.enable_lora(np.int64(2), ["fc1"])
    model.backbone.get_layer("stage1").trainable = False


FREEZES = [
    freeze_all, freeze_a_stage, freeze_all_but_a_stage, freeze_deep_inside, freeze_the_whole,
    lora, lora_and_frozen,
]  # fmt: skip


def learning(model):
    return [variable.path for variable in model.trainable_variables]


@pytest.mark.parametrize("freeze", FREEZES)
def test_what_learns_survives_saving(freeze, tmp_path):
    model = new_model()
    everything = len(learning(model))
    freeze(model)
    expected = learning(model)
    assert 0 < len(expected) != everything
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert learning(again) == expected
    assert again.backbone.trainable == model.backbone.trainable
    assert json.dumps(again.backbone.get_config()) == json.dumps(model.backbone.get_config())
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(again(images), model(images), atol=1e-6)


@pytest.mark.parametrize("freeze", [freeze_a_stage, lora])
def test_the_next_fit_goes_on(freeze, tmp_path):
    """The optimizer keeps its state, and trains nothing that was frozen."""
    model = new_model()
    freeze(model)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
    images, labels = np.random.default_rng(0).standard_normal((4, 8, 8, 3)), np.array([0, 1, 2, 0])
    model.train_on_batch(images, labels)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")  # a lost state is a warning
    state = zip(model.optimizer.variables, again.optimizer.variables, strict=True)
    for ours, theirs in state:
        np.testing.assert_array_equal(ours, theirs)
    assert int(again.optimizer.iterations) == 1
    learn = set(learning(again))
    before = {v.path: np.array(v) for v in again.weights}
    again.train_on_batch(images, labels)
    changed = {v.path for v in again.weights if not np.array_equal(v, before[v.path])}
    assert changed and changed <= learn


def test_lora_as_keras_hub_has_it():
    model = new_model()
    kernels = len(learning(model.backbone))
    model.backbone.enable_lora(4)
    paths = learning(model.backbone)
    assert {path.split("/")[-1] for path in paths} == {"lora_kernel_a", "lora_kernel_b", "bias"}
    assert {path.split("/")[-2] for path in paths} == {"qkv", "proj"}
    assert sum("lora" in path for path in paths) == 2 * 2 * 3 and len(paths) < kernels
    assert learning(model)[-2:] == ["predictions/kernel", "predictions/bias"]
    with pytest.raises(ValueError, match="LoRA is already on"):
        model.backbone.enable_lora(4)
    for rank, names in ((0, "qkv"), (2.0, "qkv"), (2, "query"), (2, ()), (2, None), (2, [3])):
        with pytest.raises(ValueError, match=r"`(rank|target_layer_names)` must be"):
            new_model().backbone.enable_lora(rank, names)


def test_a_model_without_one_backbone():
    head = keras_regionvit.tasks.classification.Classifier(image := keras.Input((8,)), image + 1)
    with pytest.raises(ValueError, match="holds 0 backbones"):
        _ = head.backbone


def test_files_of_earlier_versions_learn_as_a_whole(golden):
    model = keras.models.load_model(golden / "saved_0_1_0" / "classifier_any.keras")
    assert len(model.trainable_variables) == len(model.weights)


@pytest.mark.parametrize("shape", [(8, 8, 1), (None, None, 1)])
def test_images_of_other_channels(shape):
    """The model and its channels are named, not a layer deep inside."""
    backbone = keras_regionvit.RegionViTBackbone((8, 16), (1, 1), window_size=2, input_shape=shape)
    model = keras_regionvit.build_classifier(backbone, 3, name="grey")
    images = np.zeros((1, 8, 8, 3), "float32")
    said = r"The model 'grey' takes images with 1 channel\. Received: images with 3 channels"
    model.compile(loss="mse")
    for call in (model, model.predict, lambda x: model.fit(x, np.ones((1, 3)), verbose=0)):
        with pytest.raises(ValueError, match=said):
            call(images)
    for call in (backbone, lambda x: keras_regionvit.build_classifier(backbone, inputs=x)):
        with pytest.raises(ValueError, match="takes images with 1 channel"):
            call(keras.Input((8, 8, 3)))
    for wrong in (images[None], images[0, 0], images[0, 0, 0]):
        with pytest.raises(ValueError, match=r"The model 'grey' takes images \(batch, height"):
            model(wrong)
    np.testing.assert_allclose(np.sum(model(images[..., :1])), 1, atol=1e-6)


def test_numpy_arguments_are_saved(tmp_path):
    keras.utils.set_random_seed(0)
    backbone = keras_regionvit.RegionViTBackbone(
        np.array([8, 16]), np.int64(1), np.int64(2), window_size=np.int64(2), peg=np.bool_(True),
        patch_size=np.uint8(2), mlp_ratio=np.float32(2), drop_path_rate=np.float64(0.5),
        input_shape=np.array([8, 8, 3]),
    )  # fmt: skip
    model = keras_regionvit.build_classifier(backbone, classes=np.int64(5))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").backbone
    assert again.get_config() == backbone.get_config()
    assert json.loads(json.dumps(backbone.get_config()))["window_size"] == [2, 2]
    assert backbone.num_heads == (2, 2) and backbone.depths == (1, 1)
