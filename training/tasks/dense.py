"""What tasks share that see the whole of an image: detection and segmentation.

h, w: rows and columns of the canvas; C: channels.
"""

import copy
import dataclasses

import tensorflow as tf

from keras_regionvit.files import replacing
from keras_regionvit.images.decode import decode_image
from keras_regionvit.images.preprocessing import normalize
from keras_regionvit.weights.pretrained import initialize_from
from training.augmentation.canvas import evaluation_canvas, training_canvas
from training.augmentation.photometric import photometric as distorted
from training.data.orientation import parts_of, whole_batches
from training.tasks.classes import of_same_classes
from training.tasks.task import Task


class DenseTask(Task):
    """A task whose inputs are whole images on a canvas, float32 (B, h, w, C), normalised.

    Attributes:
        shape: h and w, as training has it. With a canvas of two sides that of images with more
            columns than rows; the tasks that `groups` gives have the shape of their images.
    """

    unit = "images"

    def __init__(self, recipe):
        super().__init__(recipe)
        side = self.own.crop or self.canvas
        self.shape = (side, side) if isinstance(side, int) else side

    @property
    def own(self):
        """The task's own section of the recipe."""
        return getattr(self.recipe, self.recipe.task)

    @property
    def canvas(self):
        """What images are resized to fit: the side of a square, or (shorter, longer) side."""
        return self.own.canvas or self.recipe.data.image_size

    @property
    def input_shape(self):
        """What the model takes: sides are open where the canvas turns as an image lies."""
        sides = (None, None) if self.own.canvas else self.shape
        return (*sides, self.recipe.data.channels)

    def open_others(self, split, data=None, info=None):
        """Images of the same classes as those that the model learnt from."""
        return of_same_classes(self.open_split(split, data), info)

    def groups(self, source, training):
        """All images on a square; else those that lie and those that stand, each a part."""
        if not self.own.canvas:
            return [(self, source)]
        if training and self.own.crop:
            return [(self._shaped((self.own.crop,) * 2), source)]
        parts = parts_of(source)
        if training:
            batch = self.recipe.data.batch_size
            parts = [(portrait, whole_batches(part, batch)) for portrait, part in parts]
        shapes = {False: self.canvas, True: self.canvas[::-1]}
        return [(self._shaped(shapes[portrait]), part) for portrait, part in parts]

    def _shaped(self, shape):
        other = copy.copy(self)
        other.shape = shape
        return other

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
        settings = {"size": self.shape, "fill": data.mean, "keep_aspect": own.keep_aspect}
        shorter = min(own.canvas or self.shape)
        recolour = _recolouring(augment.color_jitter, own.photometric) if training else None

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
                    factors=tuple(side / shorter for side in own.scales),
                    flip=augment.flip,
                    fit=own.canvas,
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


def _recolouring(strength, photometric):
    """A function `(image, seed, channels)` that changes an image's colours, or None."""
    if photometric:
        return lambda image, seed, channels: distorted(_decoded(image, channels), seed)
    if not strength:
        return None
    from training.augmentation import ColorJitter  # here: keras-cv takes seconds to import
    from training.augmentation.chain import run

    layer = ColorJitter(strength)

    def recolour(image, seed, channels):
        return run([layer], tf.cast(_decoded(image, channels), tf.float32), [seed])[0]

    return recolour


def _decoded(image, channels):
    return decode_image(image, channels) if image.dtype == tf.string else image
