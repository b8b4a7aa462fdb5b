#!/bin/sh
# COCOeval compares overlaps with "less than the best so far, go on". A detection whose box is not a
# number has an overlap that is not a number, which is never less: it counts as a perfect match. A
# detector that diverged scores AP 1 instead of 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet numpy==2.4.6 pycocotools==2.0.11
"$folder/env/bin/python" - <<'PYTHON'
import contextlib
import io
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAN = float("nan")


def average_precision(box):
    """AP of one detection in an image with one object."""
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": 1, "width": 64, "height": 64}],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [annotation | {"bbox": [10.0, 10.0, 20.0, 20.0], "area": 400.0}],
        }
        truth.createIndex()
        found = truth.loadRes([{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


beside, nan = average_precision([40.0, 40.0, 20.0, 20.0]), average_precision([NAN] * 4)
print("pycocotools", version("pycocotools"))
print(f"AP of a box that misses {beside:.3f}; of a box that is not a number {nan:.3f}")
assert beside < 0.001 and nan > 0.999, "the behaviour changed"
PYTHON
