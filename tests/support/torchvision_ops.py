"""torchvision where it is installed, also beside a PyTorch build that its own operators do not fit.

Then its functions in Python are left, which compute the same.
"""

import sys

import pytest


def import_torchvision():
    """The module `torchvision.ops`; skips the test where there is none."""
    torch = pytest.importorskip("torch", reason="needs torchvision")
    try:
        return pytest.importorskip("torchvision.ops", reason="needs torchvision")
    except RuntimeError:  # its operators are those of another build: only declared, never called
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return pytest.importorskip("torchvision.ops", reason="needs torchvision")


def roi_align(image, boxes, size, scale, samples):
    """torchvision's aligned ROIAlign.

    Args:
        image: torch tensor (B, C, h, w).
        boxes: torch tensor (R, 5), number of the image, then xyxy pixels.
        size: cells a side.
        scale: places of the map a pixel.
        samples: points a cell and side.

    Returns:
        A torch tensor (R, C, size, size).
    """
    ops = import_torchvision()
    if sys.modules["torchvision.extension"]._has_ops():
        return ops.roi_align(image, boxes, size, scale, samples, True)
    _, _, height, width = image.shape
    low, high = boxes[:, 1:3] * scale - 0.5, boxes[:, 3:] * scale - 0.5
    if (low < -1).any() or (high[:, 0] > width).any() or (high[:, 1] > height).any():
        pytest.skip("torchvision's function in Python does not stop at the border of the map")
    # the function in Python as it is written: that of the module would have a compiler compile it
    function = sys.modules["torchvision.ops.roi_align"]._roi_align.__wrapped__
    return function(image, boxes, scale, size, size, samples, True)
