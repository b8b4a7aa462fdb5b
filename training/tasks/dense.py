"""What tasks share that see the whole of an image: detection and segmentation.

S: side of the canvas; C: channels.
"""

import dataclasses

import tensorflow as tf

from keras_regionvit.files import replacing
from keras_regionvit.images.decode import decode_image
from keras_regionvit.images.preprocessing import normalize
from keras_regionvit.weights.pretrained import initialize_from
from training.augmentation.canvas import evaluation_canvas, training_canvas
from training.tasks.task import Task


class DenseTask(Task):
    """A task whose inputs are whole images on a canvas, float32 (B, S, S, C), normalised."""

    unit = "images"

    @property
    def own(self):
        """The task's own section of the recipe."""
        return getattr(self.recipe, self.recipe.task)

    def build_model(self, info, preprocessing=False):
        """The model, which has a `backbone`; `preprocessing`: whether it takes pixels on 0..255."""
        raise NotImplementedError

    def load_start(self, model):
        """Loads the weights that the recipe starts from into the backbone."""
        settings = self.recipe.model
        if settings.weights:
            initialize_from(model.backbone, settings.weights, settings.variant)

    def canvas_of(self, training):
        """A function `(image, seed) -> (normalised canvas, placement)`, see `training_canvas`."""
        data, augment, own = self.recipe.data, self.recipe.augment, self.own
        settings = {"size": data.image_size, "fill": data.mean, "keep_aspect": own.keep_aspect}
        recolour = _recolouring(augment.color_jitter) if training else None

        def prepare(image, seed):
            if not training:
                canvas, placement = evaluation_canvas(image, **settings)
            else:
                seeds = tf.unstack(tf.random.split(seed, 2))
                if recolour is not None:
                    image = recolour(image, seeds[1], data.channels)
                canvas, placement = training_canvas(
                    image,
                    seeds[0],
                    scales=(own.least_scale, own.greatest_scale),
                    flip=augment.flip,
                    **settings,
                )
            return normalize(canvas, data.mean, data.std), placement

        return prepare

    def for_users(self, model, info):
        """The model with its normalisation: it takes pixels on 0..255."""
        whole = self.build_model(info, preprocessing=True)
        learnt = {variable.path: variable for variable in model.variables}
        for variable in whole.variables:
            if variable.path in learnt:
                variable.assign(learnt[variable.path])
        layer = whole.get_layer("pixel_normalization")
        layer.mean.assign(self.recipe.data.mean)
        layer.std.assign(self.recipe.data.std)
        return whole

    def export(self, model, info, folder):
        """Writes `model.keras`, which takes pixels on 0..255, and its SavedModel."""
        whole = self.for_users(model, info)
        with replacing(folder / "model.keras") as aside:
            whole.save(aside)
        saved_model = folder / "saved_model" / "1"
        if not saved_model.exists():  # a resumed run may have come that far
            self.serve(whole, info, saved_model)
        return whole

    def serve(self, model, info, folder, **settings):
        """Writes the SavedModel of a model `for_users`; `settings` are others of the export."""
        raise NotImplementedError

    def describe(self, info):
        """Such as "10 classes"."""
        return f"{len(info['class_names'])} classes"


def with_index(source):
    """A source whose examples also have their `index`, int64 ()."""

    def example_of(record):
        return {**source.example_of(record), "index": source.key_of(record)["index"]}

    return dataclasses.replace(source, example_of=example_of)


def _recolouring(strength):
    """A function `(image, seed, channels)` that changes an image's colours; None for strength 0."""
    if not strength:
        return None
    from training.augmentation import ColorJitter  # here: keras-cv takes seconds to import
    from training.augmentation.chain import run

    layer = ColorJitter(strength)

    def recolour(image, seed, channels):
        if image.dtype == tf.string:
            image = decode_image(image, channels)
        return run([layer], tf.cast(image, tf.float32), [seed])[0]

    return recolour
