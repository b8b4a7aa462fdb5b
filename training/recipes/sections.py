"""The sections that recipes of all tasks have; the defaults are the paper's for ImageNet-1K."""

import dataclasses
import re
from typing import Literal

from keras_regionvit.imagenet import MEAN, STD
from keras_regionvit.variants import VARIANTS
from training.recipes.section import Section
from training.recipes.settings import Amount, Count, Share, Size


@dataclasses.dataclass(frozen=True)
class Data(Section):
    """The images, and how many make up a step.

    Attributes:
        source: where they come from, such as "tfds:imagenet2012"; see `training.data.sources`.
        train_split: the part of the data to learn from.
        eval_split: the part to be judged on.
        splits: whether folders called train, val or test (in large or small letters) are parts of
            the data; else they are classes as all others. For the source "folder".
        images: how many images to generate, for the source "generated", 0 means 1,024; how many
            of the source "composed" to take at most, 0 means all.
        image_size: height and width of the images in pixels, where no `canvas` gives them.
        channels: 3 for colour, 1 for grey.
        mean: of the pixels on 0..255, one entry a channel.
        std: standard deviation of the pixels on 0..255, likewise.
        batch_size: images a step, over all devices.
    """

    source: str
    train_split: str = "train"
    eval_split: str = "validation"
    splits: bool = True
    images: Count = 0
    image_size: Size = 224
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    batch_size: Size = 4096

    def check(self):
        """Checks that the statistics fit the channels."""
        for name in ("mean", "std"):
            grey = ",".join(["127.5"] * self.channels)
            wanted = (
                f"{self.channels} number{'s' * (self.channels != 1)}, one a channel, since "
                f"`data.channels` is {self.channels}: set mean and std with it, such as --set "
                f"data.mean={grey} --set data.std={grey}"
            )
            self.require(len(getattr(self, name)) == self.channels, name, wanted)
        self.require(min(self.std) > 0, "std", "above 0")
        self.require(self.source != "", "source", "the name of a source")


@dataclasses.dataclass(frozen=True)
class Model(Section):
    """The backbone, and what it starts from.

    Attributes:
        variant: a name of `keras_regionvit.list_models()`, or "" for `embed_dims` and `depths`.
        embed_dims: channels a stage, without a variant.
        depths: encoders a stage, without a variant.
        stem: "conv1", "conv3" or "patch", without a variant.
        patch_size: pixels per local token side, without a variant.
        window_size: local tokens per region side, one entry a stage; () means the variant's,
            enlarged with the image as section A.1 does (7 at 224 pixels is 12 at 384).
        border: black pixels around each image; the model then also normalises by itself.
        regional_tokens: this and the next six are the paper's ablations, see `RegionViTBackbone`.
        weight_sharing: between regional and local attention.
        local_keys: of local attention.
        downsample: between stages.
        position: of attention.
        overlap: of windows.
        attention: its kind.
        peg: whether a position encoding generator follows each stage's first encoder.
        pyramid_norm: whether each pyramid level is normalised, as detection does.
        gradient_checkpointing: whether the backward pass computes encoders again: less memory,
            more time.
        drop_path_rate: stochastic depth of the last encoder.
        weights: what to start from: "", "imagenet" or a file.
        needs_weights: whether the recipe makes sense only with `weights`.
    """

    variant: str = "small"
    embed_dims: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    stem: Literal["conv1", "conv3", "patch"] = "conv3"
    patch_size: Size = 4
    window_size: tuple[int, ...] = ()
    border: Count = 0
    regional_tokens: bool = True
    weight_sharing: bool = True
    local_keys: Literal["own", "all"] = "own"
    downsample: Literal["depthwise", "dense3", "dense2", "patch_merging"] = "depthwise"
    position: Literal["relative", "none", "absolute", "both"] = "relative"
    overlap: bool = False
    attention: Literal["regional_to_local", "shifted_window"] = "regional_to_local"
    peg: bool = False
    pyramid_norm: bool = False
    gradient_checkpointing: bool = False
    drop_path_rate: Share = 0.1
    weights: str = ""
    needs_weights: bool = False

    def check(self):
        """Checks that the stages fit each other, and the variant."""
        self.require(self.drop_path_rate < 1, "drop_path_rate", "below 1")
        known = f"one of {', '.join(VARIANTS)}, or empty with `model.embed_dims`"
        self.require(self.variant in ("", *VARIANTS), "variant", known)
        stages = 4 if self.variant else len(self.embed_dims)
        each = f"{stages} numbers, one a stage"
        if self.variant:
            for name in ("embed_dims", "depths"):
                self.require(not getattr(self, name), name, "empty where `model.variant` is set")
            each += ", or none"
        else:
            wanted = "channels a stage where `model.variant` is empty"
            self.require(stages > 0, "embed_dims", wanted)
            self.require(len(self.depths) == stages, "depths", each)
        lengths = (0, stages) if self.variant else (stages,)
        self.require(len(self.window_size) in lengths, "window_size", each)
        for name in ("embed_dims", "depths", "window_size"):
            self.require(min(getattr(self, name), default=1) > 0, name, "above 0, each number")


@dataclasses.dataclass(frozen=True)
class Augment(Section):
    """What happens to the images of the training.

    Attributes:
        repeats: differently augmented copies of an image in an epoch (instance repetition).
        crop: "random_resized", "shift" (by up to `shift_pixels`) or "none".
        shift_pixels: see `crop`.
        auto_augment: "rand-m9-mstd0.5-inc1" or "".
        color_jitter: strength, used where `auto_augment` is "".
        flip: share of the images that are mirrored.
        mixup: alpha of MixUp; 0 means none.
        cutmix: alpha of CutMix; 0 means none.
        switch_probability: share of the batches with CutMix where both are on.
        erasing: share of the images with a part erased.
    """

    repeats: Literal[1, 2, 3, 4] = 3
    crop: Literal["random_resized", "shift", "none"] = "random_resized"
    shift_pixels: Count = 2
    auto_augment: str = "rand-m9-mstd0.5-inc1"
    color_jitter: Amount = 0.4
    flip: Share = 0.5
    mixup: Amount = 0.8
    cutmix: Amount = 1.0
    switch_probability: Share = 0.5
    erasing: Share = 0.25

    def check(self):
        """Checks that the policy is written as one."""
        policy = re.fullmatch(r"(rand(-[a-z]{1,4}\d+\.?\d*)*)?", self.auto_augment)
        self.require(policy is not None, "auto_augment", "as 'rand-m9-mstd0.5-inc1', or empty")


@dataclasses.dataclass(frozen=True)
class Optimizer(Section):
    """How a step changes the weights.

    Attributes:
        name: "adamw" or "sgd".
        learning_rate: peak rate for a batch of `base_batch_size` images; it grows with the batch.
        base_batch_size: the batch that `learning_rate` is meant for.
        weight_decay: decoupled for AdamW, L2 for SGD.
        decay: what decays: "official" is all but 1-D parameters and biases, "kernels" only
            matrices and kernels.
        momentum: of SGD.
        clip_norm: greatest norm of all gradients together; 0 means no clipping.
        ema: share of the averaged weights kept each step, such as 0.9999; 0 means none. The
            average is then what is evaluated and exported.
        accumulation: parts that a device computes its share of a batch in, one after another.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Amount = 5e-4
    base_batch_size: Size = 512
    weight_decay: Amount = 0.05
    decay: Literal["official", "kernels"] = "official"
    momentum: Share = 0.9
    clip_norm: Amount = 0.0
    ema: Share = 0.0
    accumulation: Size = 1

    def check(self):
        """Checks the ends of ranges that a setting must not reach."""
        self.require(self.learning_rate > 0, "learning_rate", "above 0")
        self.require(self.ema < 1, "ema", "below 1")


@dataclasses.dataclass(frozen=True)
class Schedule(Section):
    """How long the training is, and how its learning rate goes.

    Attributes:
        epochs: how often the images are gone through. With `steps`: how many parts of the same
            length the training has, each with an evaluation at its end.
        steps: length of the training in steps, however many images there are; 0 means by `epochs`.
        curve: how the rate falls: "cosine", in "steps" to a tenth at each of `milestones`, or as a
            "poly" of `power`.
        milestones: shares of the training, such as 2/3 and 8/9, for "steps".
        power: exponent, for "poly".
        every: whether the rate changes by "epoch", as timm does by default, or by "step".
        warmup_epochs: length of the warm-up.
        warmup_steps: length of the warm-up in place of `warmup_epochs`, where that is 0.
        warmup_learning_rate: first rate of the warm-up.
        min_learning_rate: last rate, for "cosine" and "poly".
    """

    epochs: Size = 300
    steps: Count = 0
    curve: Literal["cosine", "steps", "poly"] = "cosine"
    milestones: tuple[float, ...] = ()
    power: Amount = 0.9
    every: Literal["epoch", "step"] = "epoch"
    warmup_epochs: Amount = 50
    warmup_steps: Count = 0
    warmup_learning_rate: Amount = 1e-6
    min_learning_rate: Amount = 1e-5

    def check(self):
        """Checks that the warm-up ends before the training does."""
        wanted = f"below {self.epochs} epochs"
        self.require(self.warmup_epochs < self.epochs, "warmup_epochs", wanted)
        wanted = f"0 with `schedule.warmup_epochs` of {self.warmup_epochs}"
        self.require(not (self.warmup_epochs and self.warmup_steps), "warmup_steps", wanted)
        wanted = f"a multiple of `schedule.epochs`, {self.epochs}"
        self.require(self.steps % self.epochs == 0, "steps", wanted)
        if self.steps:
            wanted = f"below `schedule.steps`, {self.steps}"
            self.require(self.warmup_steps < self.steps, "warmup_steps", wanted)
        rising = tuple(sorted(set(self.milestones))) == self.milestones
        inside = all(0 < share < 1 for share in self.milestones)
        self.require(rising and inside, "milestones", "shares between 0 and 1 that rise")
        wanted = "shares of the training" if self.curve == "steps" else "empty but for 'steps'"
        self.require(bool(self.milestones) == (self.curve == "steps"), "milestones", wanted)


@dataclasses.dataclass(frozen=True)
class Evaluate(Section):
    """How images are judged.

    Attributes:
        crop_ratio: share of the shorter side that evaluation crops.
    """

    crop_ratio: Share = 224 / 256

    def check(self):
        """Checks that something is left of an image."""
        self.require(self.crop_ratio > 0, "crop_ratio", "above 0")


@dataclasses.dataclass(frozen=True)
class Compute(Section):
    """How a device computes.

    Attributes:
        precision: "float32", or the half precision "bfloat16" or "float16" with float32 weights.
        deterministic: whether the same seed gives the same weights, bit by bit; without XLA, and
            slower on a GPU.
    """

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    deterministic: bool = False
