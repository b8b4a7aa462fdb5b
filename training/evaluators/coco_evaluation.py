"""COCO's metrics by pycocotools, of what lies in memory."""

import contextlib
import gc
import io

METRICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
KEYPOINT_METRICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_medium",
    "AP_large",
    "AR",
    "AR50",
    "AR75",
    "AR_medium",
    "AR_large",
)


def evaluated(kind, images, classes, objects, detections, sigmas=None):
    """The evaluation of pycocotools, with its `stats`.

    Args:
        kind: "bbox", "segm" or "keypoints".
        images: list of the images' numbers.
        classes: int K; categories are 0 to K - 1.
        objects: list of dicts with "image_id", "category_id", "bbox" (x, y, width, height),
            "area", "iscrowd" and, by its kind, "segmentation" (compressed run lengths) or
            "keypoints" and "num_keypoints"; changed on the way.
        detections: likewise with "score" in place of "iscrowd" and "num_keypoints".
        sigmas: optional, one for each keypoint; those of COCO's 17 if None.

    Returns:
        A `COCOeval`.

    Example:

    >>> evaluated("bbox", [0, 1], 2, objects, detections).stats[0]
    """
    from pycocotools.coco import COCO  # here: only detectors need it

    from training.evaluators.fast_evaluation import FastEvaluation

    def in_memory(annotations):
        for number, annotation in enumerate(annotations, 1):
            annotation["id"] = number
        data = COCO()
        data.dataset = {
            # of masks it asks for sides and, as these are run lengths, does not use them
            "images": [{"id": image, "height": 0, "width": 0} for image in images],
            "categories": [{"id": category} for category in range(classes)],
            "annotations": annotations,
        }
        data.createIndex()
        return data

    with contextlib.redirect_stdout(io.StringIO()), _collector_off():  # pycocotools prints
        # `loadRes`, the usual way, fails without detections
        evaluation = FastEvaluation(in_memory(objects), in_memory(detections), kind)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@contextlib.contextmanager
def _collector_off():
    """Without the garbage collector, which took a quarter of the time of 500,000 detections."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
