"""The types of numbers and texts in HDF5 files that Keras writes, as bytes of the file."""

import functools
import struct

import numpy as np


@functools.cache
def known_types():
    """`{a type as it is in a file: (bytes of an item, whether it is text on the global heap)}`."""
    import h5py

    names = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "V2")
    dtypes = [np.dtype(order + name) for name in names for order in "<>"]
    texts = [h5py.string_dtype(encoding) for encoding in ("utf-8", "ascii")]
    found = {}
    for dtype in dtypes + texts:
        encoded = h5py.h5t.py_create(dtype, logical=True).encode()[2:]  # behind kind and version
        if dtype in texts:  # a pointer in memory, in a file a length and a place
            encoded = encoded[:4] + struct.pack("<I", 16) + encoded[8:]
        found[encoded] = (16, True) if dtype in texts else (dtype.itemsize, False)
    return found
