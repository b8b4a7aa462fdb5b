"""Object detection: images to boxes with their classes.

B images; h, w: rows and columns of the canvas; N: objects of an image, padded; n: of one, not
padded; D: detections of an image.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from keras_regionvit import visualize
from keras_regionvit.export.detection import export_detector
from keras_regionvit.files import write_json
from training.data.inputs import eval_batches
from training.data.sources import open_detection_source
from training.data.sources.keypoint_names import named_info
from training.evaluators.coco import CocoEvaluator
from training.evaluators.evaluator import write_table
from training.evaluators.shapes import COCO_KEYPOINTS
from training.tasks.classification import build_backbone, lines
from training.tasks.dense import DenseTask, with_index
from training.tasks.object_shapes import SHAPES

SHOWN = 8  # images that are drawn at the end of a run


class Detection(DenseTask):
    """Images to boxes. An example is `{"image", "boxes", "labels", "crowd", "area", "index"}`.

    Inputs are images float32 (B, h, w, channels) on a canvas; targets a dict of `boxes` (B, N, 4)
    on the canvas and `labels` (B, N), -1 for padding, crowds and what hardly shows, and of what an
    evaluation needs: `original`, `crowd`, `area`, `scale`, `index`, see `CocoEvaluator`. Outputs
    are those of a `keras_regionvit.RetinaNet`. With `detection.shapes` they have more, see
    `training.tasks.object_shapes`, and in training the objects belong to the inputs.

    Example:

    >>> task = Detection(recipe)
    >>> task.build_model(task.open_split("train").info)
    """

    def __init__(self, recipe):
        super().__init__(recipe)
        self.shapes = SHAPES[self.own.shapes](self.own)

    def open_split(self, split, data=None):
        """Opens one part of the images."""
        settings, own = self.recipe.data, self.own
        source = open_detection_source(
            settings.source,
            split,
            data=data,
            count=settings.images or None,
            shapes=own.shapes,
            mask_size=own.mask_size,
        )
        info = dict(source.info)
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
        if own.shapes == "keypoints" and classes > 1:
            raise ValueError(
                f"a Keypoint R-CNN finds one class of objects, and {source.name} has {classes}; "
                "data of one category are needed."
            )
        return with_index(dataclasses.replace(source, info=info))

    def assumed_info(self):
        """As many classes as the recipe says, else COCO's; of keypoints COCO's."""
        count = self.own.classes or (1 if self.own.shapes == "keypoints" else 80)
        names = {"class_names": tuple(map(str, range(count))), "category_ids": tuple(range(count))}
        return names | (named_info(COCO_KEYPOINTS) if self.own.shapes == "keypoints" else {})

    def build_model(self, info, preprocessing=False):
        """A detector on the recipe's backbone."""
        own = self.own
        return self.shapes.build(
            build_backbone(self.recipe, self.input_shape),
            info,
            include_preprocessing=preprocessing,
            score_threshold=own.score_threshold,
            iou_threshold=own.iou_threshold,
            max_detections=own.max_detections,
            width=own.width,
            name=self.recipe.name,
        )

    def training_specs(self, info):
        """The same with what is learnt beside boxes."""
        image, targets = self._specs(info, training=True)
        return self.shapes.input_specs(image, targets), targets

    def specs(self, info):
        """An image (h, w, channels) and its padded objects."""
        return self._specs(info, training=False)

    def _specs(self, info, training):
        most = self.own.max_objects
        shapes = {
            "boxes": ((most, 4), tf.float32),
            "labels": ((most,), tf.int32),
            "original": ((most, 4), tf.float32),
            "crowd": ((most,), tf.bool),
            "area": ((most,), tf.float32),
            "scale": ((2,), tf.float32),
            "index": ((), tf.int64),
            **self.shapes.specs(info, training),
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
            objects: dict = {
                "boxes": boxes,
                "labels": labels,
                "original": original,
                "crowd": crowd,
                "area": example["area"],
            }
            fills = {"labels": -1}
            more, of_image = self.shapes.prepared(example, placement, info, training)
            targets = {
                name: _padded(value, most, fills.get(name, 0))
                for name, value in (objects | more).items()
            }
            scale = 1 / tf.stack([step[0, 0], step[1, 1]])
            targets |= {"scale": scale, "index": example["index"], **of_image}
            return self.shapes.inputs(image, targets, seed) if training else image, targets

        return prepare

    def loss(self, targets, outputs):
        """That of the detector, see `training.tasks.object_shapes`."""
        return self.shapes.loss(targets, outputs)

    def evaluator(self, info):
        """A `CocoEvaluator`."""
        return CocoEvaluator(
            info["category_ids"],
            class_names=info["class_names"],
            shapes=self.shapes.judged(info),
        )

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
        edges, path = source.info.get("skeleton", ()), folder / "detections.png"
        visualize.plot_detections(images, found, names, path, truth=truth, edges=edges)

    def _shown(self, images, targets, outputs, i):
        """`(pixels, detections, truth)` of row i."""
        data = self.recipe.data
        pixels = np.asarray(images[i]) * np.array(data.std) + np.array(data.mean)
        count, real = int(outputs["count"][i]), np.asarray(targets["labels"][i]) >= 0
        found = {k: np.asarray(v[i][:count]) for k, v in outputs.items() if k != "count"}
        found |= self.shapes.drawn(found, pixels.shape[:2])
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
        known = [key for key in metrics if key.rpartition("_")[2] in ("AP", "AP50", "AP75")]
        return ", ".join(f"{key.replace('_', ' ')} {metrics[key]:.1%}" for key in known)

    def next_step(self, folder):
        """Where the detections and the SavedModel are."""
        return f"Detections: {folder}/detections.png and .json; to serve: {folder}/saved_model"


def _padded(values, count, fill):
    """`values` (n, ...) with rows of `fill` up to `count`."""
    rows = [[0, count - tf.shape(values)[0]], *([0, 0] for _ in values.shape[1:])]
    fill = "" if values.dtype == tf.string else tf.cast(fill, values.dtype)
    padded = tf.pad(values, rows, constant_values=fill)
    return tf.ensure_shape(padded, (count, *values.shape[1:]))
