"""Data sets in an HDF5 file, after it was found that they are plain arrays inside of it."""

from keras_regionvit.weights.hdf5_tables import check_tables
from keras_regionvit.weights.torch_objects import short

_MAX_DEPTH = 100  # groups in each other
_NUMBERS = "fiubV"  # kinds of NumPy's dtypes; V is bfloat16, which HDF5 does not know


def datasets(file):
    """The data sets of an HDF5 file.

    Nothing of them is read before all are known to be in the file itself, with as many bytes as
    they declare.

    Args:
        file: an `h5py.File`; `check_tables` has seen it.

    Returns:
        A dict of `h5py.Dataset` by name, such as "layers/dense/vars/0".

    Raises:
        ValueError: there is a link or data set that leads elsewhere or in a circle, or a data set
            that is compressed, not written, or holds no numbers.

    Example:

    >>> datasets(h5py.File("model.weights.h5"))["layers/dense/vars/1"].shape
    (1000,)
    """
    import h5py

    found, seen, groups = {}, {h5py.h5o.get_info(file.id).addr}, [("", file, 0)]
    while groups:
        prefix, group, depth = groups.pop()
        _require(depth <= _MAX_DEPTH, prefix, "is nested too deeply")
        for key in group:
            name = prefix + key
            link = group.get(key, getlink=True)
            _require(type(link) is h5py.HardLink, name, "is a link to elsewhere")
            item = group[key]
            address = h5py.h5o.get_info(item.id).addr
            _require(address not in seen, name, "is linked twice or leads in a circle")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((f"{name}/", item, depth + 1))
            else:
                _require(isinstance(item, h5py.Dataset), name, "is no data set")
                _check_storage(name, item)
                found[name] = item
    return found


def check_hdf5(path):
    """That an HDF5 file holds plain arrays of its own and nothing else.

    Args:
        path: the file, a string or `os.PathLike`.

    Raises:
        ValueError: it does not.
        Exception: any other of h5py's for a damaged file.
    """
    import h5py

    check_tables(path)
    with h5py.File(path) as file:
        datasets(file)


def _check_storage(name, dataset):
    import h5py

    created = dataset.id.get_create_plist()
    if created.get_layout() == h5py.h5d.VIRTUAL or created.get_external_count():
        _require(False, name, "has its numbers in another file")
    plain = created.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    _require(plain and not created.get_nfilters(), name, "is in chunks or compressed")
    numbers = dataset.shape is not None and dataset.dtype.kind in _NUMBERS
    numbers = numbers and (dataset.dtype.kind != "V" or dataset.dtype == "V2")
    _require(numbers, name, "holds no numbers")
    declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    _require(declared == stored, name, f"declares {declared} bytes and has {stored}")


def _require(condition, name, problem):
    if not condition:
        raise ValueError(f"{short(name)} {problem}; save the file again with Keras")
