"""Image files: those that a command names, their bytes, and why one cannot be read."""

import glob
import os
from pathlib import Path

import tensorflow as tf

from keras_regionvit.images.decode import MAX_PIXELS, MAX_SIDE, decode_image, within_limits
from keras_regionvit.images.headers import image_shape
from training.data.sources.formats import BY_PILLOW, KNOWN, SUFFIXES, as_bmp, kind_of


def named(arguments):
    """The files that the arguments of a command mean.

    Args:
        arguments: paths of files, folders (all images under them), and patterns such as
            `photos/*.jpg`.

    Returns:
        Paths as strings. An argument that means no file stays as it is, see `why_unreadable`.

    Example:

    >>> named(["cat.jpg", "photos", "more/*.png"])
    ['cat.jpg', 'photos/a.jpg', 'photos/b/c.jpg', 'more/d.png']
    """
    found = []
    for argument in map(str, arguments):
        matched = [argument]
        if not os.path.lexists(argument) and glob.has_magic(argument):
            matched = sorted(glob.glob(argument, recursive=True))
        files: list[str] = []
        for path in matched:
            under = names_under(path) if os.path.isdir(path) else [""]
            files += [os.path.join(path, name) if name else path for name in under]
        found += files or [argument]
    return found


def names_under(folder, done=frozenset(), passed=None):
    """Names of the images under a folder, relative and with `/`, sorted within each folder.

    Only one folder's listing is held at a time. Links to folders are not followed.

    Args:
        folder: a path.
        done: names to leave out.
        passed: optional `PassedOver`, told of files that are called as no image that is read.

    Raises:
        ValueError: a folder cannot be listed.
    """

    def refuse(error):
        raise ValueError(
            f"{folder} has a folder that cannot be listed, {error.filename}: {error.strerror}; "
            "make it readable, or move it away."
        )

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        relative = Path(place).relative_to(folder)
        for file in sorted(files):
            name = (relative / file).as_posix()
            if not file.lower().endswith(SUFFIXES):
                if passed is not None and file[0] != ".":
                    passed.file(os.path.join(place, file))
            elif name not in done:
                yield name


def read(path):
    """The bytes of a file; none of one that cannot be read, which no model takes for an image."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def readable(name, encoded):
    """The bytes of a file as models take them: what Pillow is to read, by its name, as a BMP."""
    return as_bmp(encoded) if str(name).lower().endswith(BY_PILLOW) else encoded


def negative(encoded):
    """The negative of an encoded image, as a PNG; what cannot be read stays as it is.

    >>> light_on_dark = negative(open("dark_on_white.png", "rb").read())
    """
    try:
        return tf.io.encode_png(255 - decode_image(tf.constant(encoded))).numpy()
    except tf.errors.InvalidArgumentError:
        return encoded


def why_unreadable(path, max_pixels=None):
    """One sentence that says why a model does not take a file.

    Args:
        path: the file.
        max_pixels: largest image that the model takes.

    Example:

    >>> why_unreadable("notes.txt")
    'notes.txt is not an image; a JPEG, PNG, GIF, BMP, WebP, TIFF or AVIF was expected.'
    """
    if os.path.isdir(path):
        return f"{path} has no images in it; files ending in {', '.join(SUFFIXES)} count."
    if not os.path.exists(path):
        if glob.has_magic(path):
            return f"{path} matches no file."
        return f"{path} does not exist; an image file was expected."
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    if not encoded:
        return f"{path} is empty; a {KNOWN} was expected."
    kind = kind_of(encoded)
    if kind and not path.lower().endswith(BY_PILLOW):
        return f"{path} is a {kind} by another name; let its name end in .{kind.lower()}."
    if kind and not (encoded := as_bmp(encoded, max_pixels or MAX_PIXELS)):
        return f"{path} cannot be read as a {kind}: it is damaged, cut short, too large or rare."
    try:
        rows, columns = image_shape(tf.constant(encoded)).numpy()
    except tf.errors.InvalidArgumentError:
        return f"{path} is not an image; a {KNOWN} was expected."
    if min(rows, columns) > 0 and not within_limits(rows, columns, max_pixels or MAX_PIXELS):
        return (
            f"{path} is too large, {columns} x {rows}; images of up to "
            f"{max_pixels or MAX_PIXELS:,} pixels and {MAX_SIDE:,} a side are read."
        )
    return f"{path} cannot be read as an image: it is damaged, cut short or of a rare kind."
