"""Makes bicubic.npz with PyTorch: python tests/golden/make_bicubic.py."""

import pathlib

import numpy as np
import torch
from torch.nn.functional import interpolate

rng = np.random.default_rng(5)
arrays = {}
for name, size, wanted in [("table", 13, 23), ("kernel", 28, 48), ("smaller", 27, 13)]:
    array = rng.standard_normal((1, 2, size, size)).astype("float32")
    resized = interpolate(torch.from_numpy(array), (wanted, wanted), mode="bicubic")
    arrays[name], arrays[f"{name}_resized"] = array, resized.numpy()
np.savez_compressed(pathlib.Path(__file__).with_name("bicubic.npz"), **arrays)
