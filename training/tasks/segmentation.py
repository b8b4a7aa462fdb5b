"""Semantic segmentation: images to a class for each pixel.

B images; h, w: rows and columns of the canvas; K: classes.
"""

import numpy as np
import tensorflow as tf

from keras_regionvit import SemanticFPN, visualize
from keras_regionvit.export.segmentation import export_segmenter
from training.data.inputs import eval_batches
from training.data.sources import open_segmentation_source
from training.evaluators.evaluator import write_table
from training.evaluators.mean_iou import MeanIoUEvaluator, PhotoSizeEvaluator
from training.tasks.classification import build_backbone, lines
from training.tasks.dense import DenseTask

NO_CLASS = 255
SHOWN = 8  # images that are drawn at the end of a run


class Segmentation(DenseTask):
    """Images to classes of pixels. An example is `{"image", "mask"}`.

    Inputs are images float32 (B, h, w, channels) on a canvas, targets `{"mask": int32 (B, h, w)}`,
    255 for what has no class, outputs logits (B, h, w, K).

    Example:

    >>> task = Segmentation(recipe)
    >>> task.build_model(task.open_split("train").info)
    """

    def open_split(self, split, data=None):
        """Opens one part of the images."""
        settings, own = self.recipe.data, self.own
        source = open_segmentation_source(
            settings.source, split, data=data, count=settings.images or None
        )
        classes = len(source.info["class_names"])
        if own.classes and own.classes != classes:
            raise ValueError(
                f"`segmentation.classes` must be {classes}, as many as {source.name} has. "
                f"Received: {own.classes}"
            )
        return source

    def assumed_info(self):
        """As many classes as the recipe says, else ADE20K's."""
        return {"class_names": tuple(map(str, range(self.own.classes or 150)))}

    def build_model(self, info, preprocessing=False):
        """A `SemanticFPN` on the recipe's backbone."""
        own = self.own
        return SemanticFPN(
            build_backbone(self.recipe, self.input_shape),
            len(info["class_names"]),
            include_preprocessing=preprocessing,
            dropout_rate=own.dropout_rate,
            width=own.width,
            head_width=own.head_width,
            name=self.recipe.name,
        )

    def specs(self, info):
        """An image (h, w, channels) and its mask (h, w)."""
        image = tf.TensorSpec((*self.shape, self.recipe.data.channels), tf.float32)
        return image, {"mask": tf.TensorSpec(self.shape, tf.int32)}

    def preparation(self, info, training):
        """The image on its canvas, its mask moved along."""
        canvas_of, shape = self.canvas_of(training), self.shape

        def prepare(example, seed):
            image, placement = canvas_of(example["image"], seed)
            mask = placement.mask(example["mask"], fill=NO_CLASS)
            return image, {"mask": tf.ensure_shape(tf.cast(mask, tf.int32), shape)}

        return prepare

    def loss(self, targets, outputs):
        """Cross entropy, divided by the pixels of the global batch that have a class."""
        mask, logits = targets["mask"], tf.cast(outputs, tf.float32)
        real = mask != NO_CLASS
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(real, mask, 0), logits)
        total = tf.reduce_sum(tf.where(real, losses, 0.0))
        return {"loss": total}, tf.reduce_sum(tf.cast(real, tf.float32))

    def metrics(self, targets, outputs):
        """How many pixels are right."""
        found = tf.argmax(outputs, axis=-1, output_type=tf.int32)
        return {"pixel_accuracy": tf.reduce_sum(tf.cast(found == targets["mask"], tf.float32))}

    def evaluator(self, info):
        """A `MeanIoUEvaluator`."""
        return MeanIoUEvaluator(info["class_names"])

    def for_evaluation(self):
        """The same, judged in the photos' own sizes."""
        return _OfPhotoSize(self.recipe)

    def serve(self, model, info, folder, **settings):
        """Writes the SavedModel: encoded images to masks of their size."""
        data = self.recipe.data
        export_segmenter(
            model,
            folder,
            labels=lines(info["class_names"]),
            size=self.canvas,
            fill=data.mean,
            keep_aspect=self.own.keep_aspect,
            **settings,
        )

    def draw(self, model, source, folder, **options):
        """Writes a table of the classes, and draws masks beside the truth for some images."""
        evaluator = self.evaluator(source.info)
        shown: list[tuple] = []
        data = self.recipe.data
        for images, targets in eval_batches(self, source, **options):
            outputs = model(images, training=False)
            evaluator.update(*evaluator.measure(targets, outputs, tf.ones(len(images))))
            for i in range(min(len(images), SHOWN - len(shown))):
                pixels = np.asarray(images[i]) * np.array(data.std) + np.array(data.mean)
                pixels = np.clip(np.rint(pixels), 0, 255).astype("uint8")
                found = np.argmax(outputs[i], axis=-1)
                shown.append((pixels, found, np.asarray(targets["mask"][i])))
        names = source.info["class_names"]
        write_table(evaluator, folder)
        images, found, truth = zip(*shown, strict=True)
        visualize.plot_masks(images, found, names, folder / "masks.png", truth=truth)

    def finish(self, run):
        """Draws what the exported epoch sees."""
        self.draw(run.trained, run.inputs.held_out, run.folder, skip_corrupt=run.plan.skip_corrupt)
        return {}

    def shown(self, metrics):
        """The metrics in percent."""
        known = {"mean_iou": "mIoU", "pixel_accuracy": "pixel accuracy"}
        return ", ".join(
            f"{word} {metrics[key]:.1%}" for key, word in known.items() if key in metrics
        )

    def next_step(self, folder):
        """Where the masks and the SavedModel are."""
        return f"Masks: {folder}/masks.png; to serve: {folder}/saved_model"


class _OfPhotoSize(Segmentation):
    """Segmentation whose targets are the masks as they are, in their photos' own sizes.

    They are `original`, PNGs, as their sizes differ, and `scale`, float32 (B, 2): rows and columns
    of the canvas for one of the photo.
    """

    def specs(self, info):
        """An image and its own mask."""
        image, _ = super().specs(info)
        return image, {
            "original": tf.TensorSpec((), tf.string),
            "scale": tf.TensorSpec((2,), tf.float32),
        }

    def preparation(self, info, training):
        """The image on its canvas; its mask stays where it is."""
        canvas_of = self.canvas_of(training)

        def prepare(example, seed):
            image, placement = canvas_of(example["image"], seed)
            step = placement.steps[0]  # from the photo to the canvas; evaluation has no other
            mask = tf.cast(example["mask"], tf.uint8)
            return image, {
                "original": tf.io.encode_png(mask[..., None]),
                "scale": tf.stack([step[1, 1], step[0, 0]]),
            }

        return prepare

    def evaluator(self, info):
        """A `PhotoSizeEvaluator`."""
        return PhotoSizeEvaluator(info["class_names"])
