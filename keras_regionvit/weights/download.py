"""Downloads that are whole or not there."""

import hashlib
import os
import pathlib
import re
import tempfile

import keras

from keras_regionvit.files import replacing


def is_url(text):
    """Whether `text` is the address of a file to download."""
    return re.match(r"(https?|ftp)://", text) is not None


def cache_folder():
    """The folder of downloaded weights, under `KERAS_HOME` (or ~/.keras), made if missing."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    folder = pathlib.Path(home).expanduser() / "models" / "regionvit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def download(url):
    """A local copy of the file at `url`, fetched once.

    The file is written aside and renamed when it is complete and its checksum is right.

    Args:
        url: address; it may end in `#sha256=<64 hexadecimal digits>`.

    Returns:
        The path of the copy, a string.

    Raises:
        ValueError: the file cannot be fetched, or its checksum is another.
        WriteError: it cannot be written to the cache.

    Example:

    >>> path = download("https://example.org/RegionViT-S.pth#sha256=" + 64 * "0")
    """
    address, _, fragment = url.partition("#")
    digest = fragment.removeprefix("sha256=")
    if fragment and not re.fullmatch(r"sha256=[0-9a-fA-F]{64}", fragment):
        raise ValueError(
            f"`weights` must end in '#sha256=' and 64 hexadecimal digits, or have no '#': {url!r}"
        )
    name = os.path.basename(address.partition("?")[0]) or "weights"
    # files of one name from two places are two files, and so are two checksums
    key = hashlib.sha256(f"{address}#{digest.lower()}".encode()).hexdigest()[:12]
    target = cache_folder() / f"{key}-{name}"
    if target.is_file():
        return str(target)
    with (
        replacing(target) as aside,
        tempfile.TemporaryDirectory(dir=cache_folder()) as folder,
    ):
        try:
            path = keras.utils.get_file(
                name,
                address,
                cache_dir=folder,
                cache_subdir="",
                file_hash=digest.lower() or None,
                hash_algorithm="sha256",
            )
        except Exception as error:
            raise ValueError(f"{address} cannot be downloaded: {error}") from error
        os.replace(path, aside)
    return str(target)
