"""The shifted-window ablation is Swin: the same numbers as transformers', weights copied over."""

import contextlib

import keras
import numpy as np
import pytest

from keras_regionvit import RegionViTBackbone, build_classifier

SWIN = {
    "regional_tokens": False,
    "attention": "shifted_window",
    "stem": "patch",
    "downsample": "patch_merging",
}
BLOCK = {
    "local_norm": "layernorm_before",
    "attention/proj": "attention.output.dense",
    "mlp_norm": "layernorm_after",
    "mlp/fc1": "intermediate.dense",
    "mlp/fc2": "output.dense",
}
LIBRARIES: list = []  # declarations last as long as these
LEAF = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}


def new_swin():
    """A Swin of transformers, all of its weights drawn at random."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    # transformers imports torchvision, whose operators a CPU build of torch may lack
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # it is there
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    LIBRARIES.append(library)
    config = transformers.SwinConfig(
        image_size=64, embed_dim=16, depths=[2, 4], num_heads=[2, 4], window_size=4, num_labels=5
    )
    swin = transformers.SwinForImageClassification(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in swin.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
    return swin


def value_of(path, arrays):
    """What transformers' arrays hold for a variable of ours."""
    module, _, leaf = path.rpartition("/")
    if module == "predictions":
        return arrays[f"classifier.{LEAF[leaf]}"].T
    if module == "norm":
        return arrays[f"swin.layernorm.{LEAF[leaf]}"]
    if module == "local_tokenizer/projection":
        value = arrays[f"swin.embeddings.patch_embeddings.projection.{LEAF[leaf]}"]
        return value.transpose(2, 3, 1, 0) if leaf == "kernel" else value
    if module == "local_tokenizer/norm":
        return arrays[f"swin.embeddings.norm.{LEAF[leaf]}"]
    if module.startswith("downsampling"):  # downsampling2 is the end of their stage 0
        number, part = module.removeprefix("downsampling").split("/")
        return arrays[f"swin.encoder.layers.{int(number) - 2}.downsample.{part}.{LEAF[leaf]}"].T
    stage, encoder, part = module.split("/", 2)
    block = f"swin.encoder.layers.{int(stage[5:]) - 1}.blocks.{int(encoder[7:]) - 1}"
    if part == "attention/qkv":
        names = (f"{block}.attention.self.{x}.{LEAF[leaf]}" for x in ("query", "key", "value"))
        return np.concatenate([arrays[name] for name in names]).T
    if part == "attention":  # theirs is of query minus key, ours of key minus query
        return arrays[f"{block}.attention.self.relative_position_bias_table"][::-1].T
    return arrays[f"{block}.{BLOCK[part]}.{LEAF[leaf]}"].T


# maps that fit their windows; that do not, on both stages; the second of one window
@pytest.mark.parametrize("size", [(64, 64), (58, 71), (32, 32), (32, 64)])
@pytest.mark.parametrize("fixed", [True, False], ids=["fixed size", "any size"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_is_swin(size, fixed):
    torch = pytest.importorskip("torch")
    swin = new_swin()
    backbone = RegionViTBackbone(
        (16, 32),
        (2, 4),
        num_heads=(2, 4),
        window_size=4,
        input_shape=(*size, 3) if fixed else (None, None, 3),
        **SWIN,
    )
    model = build_classifier(backbone, classes=5, classifier_activation=None)
    arrays = {name: p.detach().numpy() for name, p in swin.named_parameters()}
    assert model.count_params() == sum(array.size for array in arrays.values())
    for variable in model.weights:
        variable.assign(value_of(variable.path, arrays))

    images = np.random.default_rng(0).standard_normal((2, *size, 3)).astype("float32")
    with torch.no_grad():
        wanted = swin(torch.from_numpy(images.transpose(0, 3, 1, 2)), output_hidden_states=True)
    both = keras.Model(model.input, [model.get_layer("norm").output, model.output])
    maps, logits = both.predict(images, verbose=0)
    last = wanted.reshaped_hidden_states[-1].numpy().transpose(0, 2, 3, 1)
    norm = model.get_layer("norm")
    np.testing.assert_allclose(maps, norm(last), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits, wanted.logits.numpy(), rtol=1e-4, atol=1e-4)
    assert np.abs(logits).max() > 0.1
