"""Image classification, the first task: one label an image, or several.

B images, S side of an image, K classes.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_regionvit import RegionViTBackbone, build_classifier
from keras_regionvit.backbone import SWITCHES
from keras_regionvit.export import Preprocessing, export_saved_model
from keras_regionvit.files import replacing
from keras_regionvit.weights.pretrained import initialize_from
from training.data.sources import open_source
from training.evaluators.classification import (
    ClassificationEvaluator,
    image_losses,
    right_answers,
)
from training.tasks import results
from training.tasks.classes import of_same_classes
from training.tasks.images import augmented, middle, statistics
from training.tasks.task import Task, rows_of_nest


class Classification(Task):
    """Images to classes. An example is `{"image", "label"}`; `info` has the names of the classes.

    Inputs are images float32 (B, S, S, channels), targets labels float32 (B, K), outputs
    probabilities float32 (B, K).

    Example:

    >>> task = Classification(recipe)
    >>> task.build_model(task.open_split("train").info).output.shape
    (None, 10)
    """

    unit = "images"

    def __init__(self, recipe):
        super().__init__(recipe)
        own = recipe.classification
        self.losses = image_losses(own.multi_label, own.label_smoothing)

    def open_split(self, split, data=None):
        """Opens one part of the images, which have one label each or several, as the recipe."""
        return self._checked(self._open(split, data), any_label=False)

    def open_others(self, split, data=None, info=None):
        """Images with several labels will do where the recipe gives one: any of them is right."""
        source = self._checked(self._open(split, data), any_label=True)
        return of_same_classes(source, info)

    def _open(self, split, data):
        own, settings = self.recipe.classification, self.recipe.data
        return open_source(
            settings.source,
            split,
            data=data,
            classes=own.classes or None,
            channels=settings.channels,
            multi_label=own.multi_label,
            count=settings.images or None,
            size=settings.image_size,
            splits=settings.splits,
        )

    def _checked(self, source, any_label):
        own, several = self.recipe.classification.multi_label, source.info["multi_label"]
        if own != several and not (several and any_label):
            raise ValueError(
                f"`classification.multi_label` must be {several} for {source.name}. Received: {own}"
            )
        return source

    def assumed_info(self):
        """As many classes as the recipe says, else ImageNet-1K's."""
        count = self.recipe.classification.classes or 1000
        return {"class_names": tuple(map(str, range(count)))}

    def build_model(self, info, preprocessing=False):
        """The classifier, see `build_model`."""
        return build_model(self.recipe, len(info["class_names"]), preprocessing)

    def load_start(self, model):
        """Loads the weights that the recipe starts from; a head of other classes begins again."""
        settings = self.recipe.model
        if settings.weights:
            initialize_from(model, settings.weights, settings.variant)

    def specs(self, info):
        """An image (S, S, channels) and its row of labels (K,)."""
        size, channels = self.recipe.data.image_size, self.recipe.data.channels
        image = tf.TensorSpec((size, size, channels), tf.float32)
        return image, tf.TensorSpec((len(info["class_names"]),), tf.float32)

    def preparation(self, info, training):
        """Crop, flip, RandAugment, normalise and erase; or the middle as evaluation has it."""
        classes = len(info["class_names"])
        image_of = augmented(self.recipe) if training else middle(self.recipe)

        def prepare(example, seed):
            return image_of(example["image"], seed), label_row(example["label"], classes)

        return prepare

    def mixing(self):
        """MixUp or CutMix, the same for all images of a batch."""
        augment = self.recipe.augment
        if not (augment.mixup or augment.cutmix):
            return None
        from training.augmentation import batch_augmentation  # here, as in `augmented`

        return batch_augmentation(
            mixup=augment.mixup,
            cutmix=augment.cutmix,
            switch_probability=augment.switch_probability,
        )

    def statistics(self):
        """`(mean, std)` by which the pipeline normalises, see `statistics`."""
        return statistics(self.recipe)

    def loss(self, targets, outputs):
        """Cross entropy, divided by the number of images."""
        return {"loss": tf.reduce_sum(self.losses(targets, outputs))}, rows_of_nest(targets)

    def metrics(self, targets, outputs):
        """How many answers are right, by mixed labels if they are mixed."""
        right = right_answers(targets, outputs, self.recipe.classification.multi_label)
        return {"accuracy": tf.reduce_sum(right)}

    def evaluator(self, info):
        """A `ClassificationEvaluator`."""
        own = self.recipe.classification
        return ClassificationEvaluator(own.multi_label, len(info["class_names"]))

    def for_users(self, model, info):
        """The model with its normalisation: it takes pixels on 0..255."""
        whole = self.build_model(info, preprocessing=True)
        whole.set_weights(model.get_weights())
        return whole

    def export(self, model, info, folder):
        """Writes `model.keras`, which takes pixels on 0..255, and its SavedModel.

        The SavedModel takes encoded images, as evaluation prepares them, or tensors.
        """
        recipe = self.recipe
        whole = self.for_users(model, info)
        with replacing(folder / "model.keras") as aside:
            whole.save(aside)
        saved_model = folder / "saved_model" / "1"
        if not saved_model.exists():  # a resumed run may have come that far
            channels = recipe.data.channels
            export_saved_model(
                whole,
                saved_model,
                labels=lines(info["class_names"]),
                preprocessing=Preprocessing(
                    recipe.data.image_size,
                    recipe.evaluate.crop_ratio,
                    mean=(0.0,) * channels,
                    std=(1.0,) * channels,
                ),
            )
        return whole

    def draw(self, model, source, folder, **options):
        """Each class, a confusion matrix and some images, see `training.tasks.results`."""
        results.draw(self, model, source, folder, **options)

    def finish(self, run):
        """The plots; or what the quick start shows, see `training.tasks.showcase`."""
        if self.recipe.classification.showcase:
            from training.tasks.showcase import finish  # here: it brings the images along

            return finish(run)
        held_out, skip = run.inputs.held_out, run.plan.skip_corrupt
        self.draw(run.trained, held_out, run.folder, skip_corrupt=skip)
        return {}

    def of_data(self, inputs=None):
        """Classes and images, where the recipe leaves them to the data."""
        found = dict.fromkeys(("classification.classes", "data.images"), "as many as the data has")
        if inputs is not None:
            classes, count = len(inputs.info["class_names"]), inputs.source.count
            found = {
                "classification.classes": f"{classes:,}, as the data has",
                "data.images": f"{count:,}, as the data has",
            }
        known = dict(self.recipe.items())
        return {key: text for key, text in found.items() if not known[key]}

    def describe(self, info):
        """Such as "10 classes"."""
        return f"{len(info['class_names'])} classes"

    def shown(self, metrics):
        """Accuracies and areas in percent."""
        known = ("accuracy", "top5_accuracy", "auc")
        return ", ".join(f"{key} {metrics[key]:.1%}" for key in known if key in metrics)

    def next_step(self, folder):
        """How to predict with the model."""
        return f"Try your own images: python -m training.predict --model {folder} IMAGE ..."


def build_model(recipe, classes, preprocessing=False):
    """The classifier of a recipe.

    Args:
        recipe: a `training.recipes.classification.ClassificationRecipe`.
        classes: K.
        preprocessing: whether the model takes pixels on 0..255, as a saved one does; else it
            takes what the input pipeline gives. A recipe with a `border` always takes pixels.

    Returns:
        A functional `keras.Model`: images float32 (B, S, S, channels) to probabilities float32
        (B, K).

    Raises:
        ValueError: the values do not fit together.

    Example:

    >>> build_model(recipe, classes=10).output.shape
    (None, 10)
    """
    data, model = recipe.data, recipe.model
    x = keras.Input((data.image_size, data.image_size, data.channels), name="images")
    if model.border:
        x = keras.layers.ZeroPadding2D(model.border, dtype="float32", name="border")(x)
    if model.border or preprocessing:
        mean, variance = np.array(data.mean), np.square(data.std)
        x = keras.layers.Normalization(
            mean=mean, variance=variance, dtype="float32", name="standardise"
        )(x)
    activation = "sigmoid" if recipe.classification.multi_label else "softmax"
    return build_classifier(build_backbone(recipe), classes, activation, inputs=x, name=recipe.name)


def build_backbone(recipe, input_shape=None):
    """The backbone of a recipe, a `RegionViTBackbone` for images with their border.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        input_shape: what it takes, if not squares of `data.image_size`.
    """
    data, model = recipe.data, recipe.model
    side = data.image_size + 2 * model.border
    half = recipe.compute.precision
    arguments = {
        "drop_path_rate": model.drop_path_rate,
        "window_size": recipe.windows,
        "peg": model.peg,
        "pyramid_norm": model.pyramid_norm,
        "gradient_checkpointing": model.gradient_checkpointing,
        "input_shape": input_shape or (side, side, data.channels),
        "dtype": None if half == "float32" else f"mixed_{half}",
        "name": "backbone",
        **{switch: getattr(model, switch) for switch in SWITCHES},
    }
    if model.variant:
        return RegionViTBackbone.from_variant(model.variant, **arguments)
    return RegionViTBackbone(
        embed_dims=model.embed_dims,
        depths=model.depths,
        patch_size=model.patch_size,
        stem=model.stem,
        **arguments,
    )


def label_row(label, classes):
    """float32 (K,): a label int64 () as a row with a one; a row (K,) as it is."""
    if label.shape.rank == 0:
        return tf.one_hot(label, classes)
    return tf.ensure_shape(label, (classes,))


def lines(names):
    """Names as lines of text; the number of a class that has none."""
    return tuple(" ".join(str(name).split()) or str(i) for i, name in enumerate(names))
