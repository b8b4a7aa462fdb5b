"""Makes tests/golden/torch_files with PyTorch: `python tests/golden/make_torch_files.py`.

The files hold what a training script leaves behind: weights of many dtypes and layouts beside an
optimizer's state, the `argparse.Namespace` of its options and the epoch. `expected.npz` has the
weights as PyTorch itself turns them into NumPy arrays.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

FOLDER = Path(__file__).parent / "torch_files"


def weights():
    """Returns a state dict with views, ties, every supported dtype and odd shapes."""
    matrix = torch.randn(7, 5)
    halves = torch.randn(2, 3, 5)
    integers = torch.arange(-6, 9).reshape(3, 5)
    state = OrderedDict(
        {
            "head.weight": matrix,
            "head.tied": matrix,
            "head.transposed": matrix.t(),
            "head.row": matrix[3],
            "head.columns": matrix[1:, 1:4],
            "head.expanded": torch.tensor([2.5]).expand(3, 2),
            "parameter": torch.nn.Parameter(torch.randn(11)),
            "half": halves.half(),
            "bfloat16": halves.bfloat16(),
            "bfloat16.transposed": halves.bfloat16().permute(2, 0, 1),
            "double": halves.double() / 3,
            "int64": integers * 2**40,
            "int32": integers.int(),
            "int16": integers.short(),
            "int8": integers.to(torch.int8),
            "uint8": torch.arange(250, 256, dtype=torch.uint8),
            "bool": integers > 0,
            "complex": torch.complex(halves, -halves),
            "scalar": torch.tensor(13),
            "empty": torch.zeros(0, 4),
        }
    )
    state._metadata = OrderedDict({"": {"version": 1}, "head": {"version": 2}})
    return state


def expected(state):
    """Returns the arrays that a reader should give for a state dict of PyTorch."""
    wide = {k: v.float() if v.dtype == torch.bfloat16 else v for k, v in state.items()}
    return {key: value.detach().numpy() for key, value in wide.items()}


def checkpoint(state):
    """Returns what a training script saves: the state dict, and much that no reader needs."""
    linear = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(linear.parameters(), lr=1e-3)
    linear(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    args = argparse.Namespace(
        lr=1e-3, sizes=(224, 384), folder=Path("data"), models={"S", "B"}, nothing=None
    )
    return {
        "epoch": 3,
        "args": args,
        "optimizer": optimizer.state_dict(),
        "model": state,
        "best": {(1, 5): np.float64(81.5)},
    }


def main():
    """Writes the files."""
    torch.manual_seed(0)
    state = weights()
    linear = torch.nn.Linear(3, 2).state_dict()
    FOLDER.mkdir(exist_ok=True)
    torch.save(checkpoint(state), FOLDER / "zip.pth")
    torch.save(checkpoint(state), FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(linear, FOLDER / "bare.pth")
    torch.save({"state_dict": state, "epoch": 3}, FOLDER / "protocol4.pth", pickle_protocol=4)
    linear = {f"bare.{key}": value for key, value in expected(linear).items()}
    np.savez_compressed(FOLDER / "expected.npz", **expected(state), **linear)


if __name__ == "__main__":
    main()
