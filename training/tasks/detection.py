"""Object detection: images to boxes with their classes.

B images; h, w: rows and columns of the canvas; N: objects of an image, padded; n: of one, not
padded; D: detections of an image.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_regionvit import RetinaNet, visualize
from keras_regionvit.export.detection import export_detector
from keras_regionvit.files import write_json
from keras_regionvit.tasks.detection.retinanet import retinanet_losses
from training.data.inputs import eval_batches
from training.data.sources import open_detection_source
from training.evaluators.coco import CocoEvaluator
from training.evaluators.evaluator import write_table
from training.tasks.classification import build_backbone, lines
from training.tasks.dense import DenseTask, with_index

SHOWN = 8  # images that are drawn at the end of a run


class Detection(DenseTask):
    """Images to boxes. An example is `{"image", "boxes", "labels", "crowd", "area", "index"}`.

    Inputs are images float32 (B, h, w, channels) on a canvas; targets a dict of `boxes` (B, N, 4)
    on the canvas and `labels` (B, N), -1 for padding, crowds and what hardly shows, and of what an
    evaluation needs: `original`, `crowd`, `area`, `scale`, `index`, see `CocoEvaluator`. Outputs
    are those of a `keras_regionvit.RetinaNet`.

    Example:

    >>> task = Detection(recipe)
    >>> task.build_model(task.open_split("train").info)
    """

    def open_split(self, split, data=None):
        """Opens one part of the images."""
        settings = self.recipe.data
        source = open_detection_source(
            settings.source, split, data=data, count=settings.images or None
        )
        info, own = dict(source.info), self.own
        most, classes = info.pop("max_objects"), len(info["class_names"])
        if most > own.max_objects:
            raise ValueError(
                f"`detection.max_objects` must be at least {most}, as many as an image of "
                f"{source.name} has. Received: {own.max_objects}"
            )
        if own.classes and own.classes != classes:
            raise ValueError(
                f"`detection.classes` must be {classes}, as many as {source.name} has. "
                f"Received: {own.classes}"
            )
        return with_index(dataclasses.replace(source, info=info))

    def assumed_info(self):
        """As many classes as the recipe says, else COCO's."""
        count = self.own.classes or 80
        return {"class_names": tuple(map(str, range(count))), "category_ids": tuple(range(count))}

    def build_model(self, info, preprocessing=False):
        """A `RetinaNet` on the recipe's backbone."""
        own = self.own
        return RetinaNet(
            build_backbone(self.recipe, self.input_shape),
            len(info["class_names"]),
            include_preprocessing=preprocessing,
            score_threshold=own.score_threshold,
            iou_threshold=own.iou_threshold,
            max_detections=own.max_detections,
            width=own.width,
            tower_initializer=own.tower_initializer,
            name=self.recipe.name,
        )

    def specs(self, info):
        """An image (h, w, channels) and its padded objects."""
        most = self.own.max_objects
        shapes = {
            "boxes": ((most, 4), tf.float32),
            "labels": ((most,), tf.int32),
            "original": ((most, 4), tf.float32),
            "crowd": ((most,), tf.bool),
            "area": ((most,), tf.float32),
            "scale": ((2,), tf.float32),
            "index": ((), tf.int64),
        }
        image = tf.TensorSpec((*self.shape, self.recipe.data.channels), tf.float32)
        return image, {name: tf.TensorSpec(*spec) for name, spec in shapes.items()}

    def preparation(self, info, training):
        """The image on its canvas, its objects moved along."""
        canvas_of, most = self.canvas_of(training), self.own.max_objects
        least = self.own.min_visible if training else 0.0

        def prepare(example, seed):
            image, placement = canvas_of(example["image"], seed)
            original, crowd = example["boxes"], example["crowd"]
            boxes, visible = placement.boxes(original)
            labels = tf.cast(example["labels"], tf.int32)
            if training:
                learnt = ~crowd & (visible > 0) & (visible >= least)
                labels = tf.where(learnt, labels, -1)
            step = placement.steps[0]  # from the image to the canvas; evaluation has no other
            objects = {
                "boxes": boxes,
                "labels": labels,
                "original": original,
                "crowd": crowd,
                "area": example["area"],
            }
            fills = {"labels": -1}
            padded = {
                name: _padded(value, most, fills.get(name, 0)) for name, value in objects.items()
            }
            scale = 1 / tf.stack([step[0, 0], step[1, 1]])
            return image, {**padded, "scale": scale, "index": example["index"]}

        return prepare

    def loss(self, targets, outputs):
        """Focal and L1 loss, divided by the anchors of the global batch that have an object."""
        classes = outputs["p3_logits"].shape[-1] // 9
        return retinanet_losses(targets["boxes"], targets["labels"], outputs, classes)

    def evaluator(self, info):
        """A `CocoEvaluator`."""
        return CocoEvaluator(info["category_ids"], class_names=info["class_names"])

    def serve(self, model, info, folder, **settings):
        """Writes the SavedModel: encoded images to boxes in their own pixels."""
        data = self.recipe.data
        export_detector(
            model,
            folder,
            labels=lines(info["class_names"]),
            size=self.canvas,
            fill=data.mean,
            keep_aspect=self.own.keep_aspect,
            **settings,
        )

    def draw(self, model, source, folder, **options):
        """Draws detections and truth on some images, and writes all detections as COCO has them.

        A table of the classes goes beside them.
        """
        evaluator = self.evaluator(source.info)
        evaluator.image_ids = source.ids
        shown: list[tuple] = []
        for images, targets in eval_batches(self, source, **options):
            outputs = model(images, training=False)
            sums, rows = evaluator.measure(targets, outputs, tf.ones(len(images)))
            evaluator.update(sums, rows)
            for i in range(min(len(images), SHOWN - len(shown))):
                shown.append(self._shown(images, targets, outputs, i))
        evaluator.result()  # for the table
        write_table(evaluator, folder)
        write_json(folder / "detections.json", evaluator.detections())
        images, found, truth = zip(*shown, strict=True)
        names = source.info["class_names"]
        visualize.plot_detections(images, found, names, folder / "detections.png", truth=truth)

    def _shown(self, images, targets, outputs, i):
        """`(pixels, detections, truth)` of row i."""
        data = self.recipe.data
        pixels = np.asarray(images[i]) * np.array(data.std) + np.array(data.mean)
        count, real = int(outputs["count"][i]), np.asarray(targets["labels"][i]) >= 0
        found = {k: np.asarray(outputs[k][i][:count]) for k in ("boxes", "scores", "classes")}
        truth = {
            "boxes": np.asarray(targets["boxes"][i])[real],
            "labels": np.asarray(targets["labels"][i])[real],
        }
        return np.clip(np.rint(pixels), 0, 255).astype("uint8"), found, truth

    def finish(self, run):
        """Draws what the exported epoch finds."""
        self.draw(run.trained, run.inputs.held_out, run.folder, skip_corrupt=run.plan.skip_corrupt)
        return {}

    def shown(self, metrics):
        """The average precisions in percent."""
        known = ("AP", "AP50", "AP75")
        return ", ".join(f"{key} {metrics[key]:.1%}" for key in known if key in metrics)

    def next_step(self, folder):
        """Where the detections and the SavedModel are."""
        return f"Detections: {folder}/detections.png and .json; to serve: {folder}/saved_model"


def _padded(values, count, fill):
    """`values` (n, ...) with rows of `fill` up to `count`."""
    rows = [[0, count - tf.shape(values)[0]], *([0, 0] for _ in values.shape[1:])]
    fill = tf.cast(fill, values.dtype)
    padded = tf.pad(values, rows, constant_values=fill)
    return tf.ensure_shape(padded, (count, *values.shape[1:]))
