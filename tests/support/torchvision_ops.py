"""torchvision where it is installed, also beside a PyTorch build that its own operators do not fit.

Then its functions in Python are left, which compute the same.
"""

import sys

import pytest


def torchvision_ops():
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
