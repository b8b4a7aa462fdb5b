#!/bin/sh
# COCOeval stores the number of the annotation that a detection matched, and reads 0 as "none". A
# file whose annotations are numbered from 0 is valid COCO JSON (only uniqueness is asked for), yet a
# perfect detection of annotation 0 counts as a false alarm and its object as missed, in silence.
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


def average_precision(first):
    """AP of a perfect detection of the only object, whose annotation has the number `first`."""
    box = [10.0, 10.0, 20.0, 20.0]
    annotation = {"id": first, "image_id": 1, "category_id": 1, "iscrowd": 0}
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": 1, "width": 64, "height": 64}],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [annotation | {"bbox": box, "area": 400.0}],
        }
        truth.createIndex()
        found = truth.loadRes([{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9}])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


zero, one = average_precision(0), average_precision(1)
print("pycocotools", version("pycocotools"))
print(f"a perfect detection: AP {one:.3f} for annotation 1, {zero:.3f} for annotation 0")
assert one > 0.999 and zero < 0.001, "the behaviour changed"
PYTHON
