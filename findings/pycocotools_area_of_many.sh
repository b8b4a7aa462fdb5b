#!/bin/sh
# pycocotools' mask.area takes a list of run lengths and gives an array of areas. It first puts the
# length of the list into an array of 8 bits: NumPy 2 refuses that for more than 255 masks, which a
# batch of three images with 100 detections each already has. mask.toBbox, beside it, takes them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet numpy==2.4.6 pycocotools==2.0.11
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

import numpy
from pycocotools import mask

square = numpy.zeros((20, 30), "uint8", order="F")
square[5:15, 5:15] = 1
encoded = mask.encode(square)

print("pycocotools", version("pycocotools"), "NumPy", numpy.__version__)
few = mask.area([encoded] * 255)
print("areas of 255 masks:", set(few.tolist()))
try:
    mask.area([encoded] * 256)
    answer = "no error"
except OverflowError as error:
    answer = f"OverflowError: {error}"
print("areas of 256 masks:", answer)
print("boxes of 256 masks:", mask.toBbox([encoded] * 256).shape)
assert len(few) == 255 and answer.startswith("OverflowError"), "the behaviour changed"
PYTHON
