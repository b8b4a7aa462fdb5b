"""A user's own picture files, made into what a model takes."""

import warnings
from pathlib import Path

import numpy as np


def open_image(path):
    """Reads a picture file: PNG, JPEG or what else Pillow knows.

    Args:
        path: the file.

    Returns:
        A `PIL.Image.Image` of mode "RGBA", upright; the first frame if there are several.

    Raises:
        ValueError: the file is missing, empty, a folder, no picture or a damaged one.

    Example:

    >>> open_image("shirt.png").size
    (640, 480)
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the picture files in it.")
    try:
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty; a PNG or JPEG file was expected.")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image = ImageOps.exif_transpose(file)
        if image.mode == "I" or image.mode.startswith("I;16"):  # 16 bits: convert() would clip
            image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype("uint8"))
        return image.convert("RGBA")
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; a picture file was expected.") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not a picture; a PNG or JPEG file was expected.") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(
            f"{path} has too many pixels; pictures up to {Image.MAX_IMAGE_PIXELS:,} are read."
        ) from None
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}.") from None


def fit_image(image, height, width, channels, invert=False):
    """Shrinks or enlarges a picture into a frame, its proportions kept, black around it.

    Args:
        image: a `PIL.Image.Image` of mode "RGBA"; where it is transparent, it becomes black.
        height: rows of the frame.
        width: columns of the frame.
        channels: 1 for grey or 3 for colour.
        invert: whether to take the negative, transparent parts excepted.

    Returns:
        float32 (height, width, channels) on 0..255.

    Example:

    >>> fit_image(open_image("shirt.png"), 28, 28, 1).shape
    (28, 28, 1)
    """
    from PIL import Image, ImageOps

    background = Image.new("RGBA", image.size, "white" if invert else "black")
    image = Image.alpha_composite(background, image).convert("L" if channels == 1 else "RGB")
    if invert:
        image = ImageOps.invert(image)
    image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, color=0)
    return np.asarray(image, "float32").reshape(height, width, channels)
