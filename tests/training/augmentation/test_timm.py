"""Augmentation against timm's own transforms."""

import random
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tests.support.augmented import FILL, SCALE, as_tensor, each, photo, seeds
from training import augmentation

LIBRARIES: list = []  # what they declare is gone with them
POLICY = "rand-m9-mstd0.5-inc1"
DRAWS = 4000


@pytest.fixture(scope="module")
def timm_data():
    torch = pytest.importorskip("torch")
    try:  # missing beside a CPU build of torch: imports ask for them, nothing calls them
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)
    except RuntimeError:
        pass  # they are there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("timm")
        import timm.data
        import timm.data.mixup
        from timm.data import auto_augment
    black = pytest.MonkeyPatch()
    whole = ImageOps.posterize
    # Pillow 13 refuses the 0 bits that timm asks for at magnitude 10; they used to mean black
    black.setattr(
        auto_augment.ImageOps,
        "posterize",
        lambda image, bits: whole(image, bits) if bits else image.point(lambda value: 0),
    )
    yield timm.data
    black.undo()


def timm_operations(timm_data, magnitude, increasing, interpolation):
    hparams = {"img_mean": FILL, "interpolation": interpolation}
    transform = timm_data.auto_augment.rand_augment_transform(
        f"rand-m{magnitude}-p1-inc{increasing}", hparams
    )
    return transform.ops


def test_each_operation_at_fixed_magnitudes(timm_data, monkeypatch):
    image = photo()
    for magnitude, sign, increasing, bicubic in [
        (9, 1.0, 1, False),
        (9, -1.0, 1, True),
        (10, 1.0, 1, True),
        (3, -1.0, 0, False),
        (0, 1.0, 0, True),
    ]:
        monkeypatch.setattr(
            timm_data.auto_augment, "_randomly_negate", lambda value, sign=sign: sign * value
        )
        interpolation = Image.Resampling(3 if bicubic else 2)
        operations = timm_operations(timm_data, magnitude, increasing, interpolation)
        ours = list(augmentation.OPERATIONS)
        assert [op.name.removesuffix("Increasing").removesuffix("Rel") for op in operations] == ours
        for operation, name in zip(operations, ours, strict=True):
            layer = augmentation.RandomOperation(name, increasing=bool(increasing), fill=FILL)
            drawn = layer.drawn(magnitude / 10, tf.constant(sign), tf.constant(bicubic))
            result = layer.augment_image(as_tensor(image), drawn).numpy()
            error = np.abs(result - np.asarray(operation(image), "float32"))
            assert error.mean() < 0.02 and error.max() <= 1, (name, magnitude)


def test_policy_settings(timm_data):
    for text in (POLICY, "rand", "rand-m5-n3-p0.7-mstd1-mmax20", "rand-m8-mstd101-inc0"):
        theirs = timm_data.auto_augment.rand_augment_transform(text)
        ours, operation = augmentation.parse_policy(text), theirs.ops[4]
        assert ours.ops == theirs.num_layers
        assert ours.probability == operation.prob
        assert ours.magnitude == operation.magnitude
        assert ours.magnitude_max == (operation.magnitude_max or 10)
        assert min(ours.magnitude_std, 101) == min(operation.magnitude_std, 101)
        assert ours.increasing == operation.name.endswith("Increasing")


def moments(images):
    """Mean and standard deviation of all pixels a channel, on 0..255."""
    pixels = images.reshape(-1, 3) * SCALE["std"] + SCALE["mean"]
    return np.stack([pixels.mean(0), pixels.std(0)])


@pytest.mark.parametrize("auto_augment", [POLICY, None])
def test_mean_and_deviation_of_the_whole_chain(timm_data, auto_augment):
    import torch

    images = [photo(name, (48, 48)) for name in ("astronaut", "chelsea", "coffee")]
    transform = timm_data.create_transform(
        (3, 48, 48),
        is_training=True,
        auto_augment=auto_augment,
        color_jitter=0.4,
        re_prob=0.25,
        re_mode="pixel",
        mean=[value / 255 for value in SCALE["mean"]],
        std=[value / 255 for value in SCALE["std"]],
    )
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    theirs = []
    for index in range(DRAWS):
        image = images[index % 3]
        for step in transform.transforms[1:]:  # all but the crop
            image = step(image)
        theirs.append(image.numpy().transpose(1, 2, 0))
    augment = augmentation.image_augmentation(auto_augment=auto_augment, **SCALE)
    stacked = tf.stack([as_tensor(image) for image in images])
    dataset = tf.data.Dataset.from_tensor_slices(seeds(DRAWS))
    dataset = dataset.map(lambda seed: augment(stacked[seed[1] % 3], seed)[0], num_parallel_calls=2)
    ours = np.stack(list(dataset.as_numpy_iterator()))
    np.testing.assert_allclose(moments(ours), moments(np.stack(theirs)), rtol=0.02)


def test_mixing_as_timm(timm_data, monkeypatch):
    """The same share and the same box give the same batch and labels."""
    import torch

    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(4, 20, 30, 3)).astype("float32"), np.arange(4)
    for layer, arguments in (
        (augmentation.MixUp(0.8), {"mixup_alpha": 0.8}),
        (augmentation.CutMix(1.0), {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}),
    ):
        for seed in seeds(12):
            mixed = layer({"images": images, "labels": tf.eye(4), "seeds": seed})
            kept = float(mixed["labels"][0, 0])
            theirs = timm_data.mixup.Mixup(**arguments, label_smoothing=0.0, num_classes=4)
            monkeypatch.setattr(theirs, "_params_per_batch", lambda kept=kept: (kept, False))
            if isinstance(layer, augmentation.CutMix):
                box = np.argwhere((mixed["images"].numpy() != images).any((0, 3)))
                low, high = box.min(0), box.max(0) + 1
                corners = (low[0], high[0], low[1], high[1])
                monkeypatch.setattr(
                    timm_data.mixup, "rand_bbox", lambda *_, corners=corners, **__: corners
                )
                monkeypatch.setattr(theirs, "_params_per_batch", lambda: (0.5, True))
            x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
            x, target = theirs(x, torch.from_numpy(labels))
            expected = x.numpy().transpose(0, 2, 3, 1)
            np.testing.assert_allclose(mixed["images"], expected, atol=1e-6)
            np.testing.assert_allclose(mixed["labels"], target, atol=1e-6)


def test_distribution_of_cut_boxes(timm_data):
    np.random.seed(0)
    theirs = timm_data.mixup.Mixup(mixup_alpha=0.0, cutmix_alpha=1.0)
    shares = []
    for _ in range(4000):
        share, _ = theirs._params_per_batch()
        _, share = timm_data.mixup.cutmix_bbox_and_lam((4, 3, 40, 40), share)
        shares.append(share)
    layer, images = augmentation.CutMix(1.0), tf.zeros((1, 40, 40, 1))
    ours = each(lambda seed: layer.mix(images, seed)[1], 4000, tf.float32)
    quantiles = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(
        np.quantile(ours, quantiles), np.quantile(shares, quantiles), atol=0.03
    )
