"""Pictures of every kind that is decoded, made by Pillow, for several tests."""

import io
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image


def photo(height=97, width=131, seed=0):
    """A picture with smooth colours, edges and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9 + y / 23), np.cos(y / 7), np.sin(x * y / 400)], -1)
    picture = 127 + 90 * waves + 40 * (x > width // 2)[..., None] * (y % 19 < 9)[..., None]
    return (picture + rng.normal(0, 9, picture.shape)).clip(0, 255).astype("uint8")


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, rows):
    """A PNG in colour of that size by its head, with `rows` bytes (a 0 before each row) inside."""
    chunks = (
        b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(rows, 9),
        b"IEND",
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def on_larger_screen(data, width=200, height=150, left=40, top=30):
    """A GIF with its frame somewhere on a screen of that size."""
    place = data.index(b",", 13 + 3 * 2 ** (data[10] % 8 + 1))  # no extension may hold a comma
    return (
        data[:6] + struct.pack("<HH", width, height) + data[10 : place + 1]
        + struct.pack("<HH", left, top) + data[place + 5 :]
    )  # fmt: skip


COLOUR = Image.fromarray(photo())
ALPHA = Image.fromarray(np.dstack([photo(), photo(seed=1)[..., 0]]))
PALETTE = COLOUR.quantize(200)
KINDS = {
    "jpeg": encoded(COLOUR, "JPEG"),
    "jpeg, no subsampling": encoded(COLOUR, "JPEG", subsampling=0),
    "jpeg, progressive": encoded(COLOUR, "JPEG", progressive=True),
    "jpeg, grey": encoded(COLOUR.convert("L"), "JPEG"),
    "jpeg, cmyk": encoded(COLOUR.convert("CMYK"), "JPEG"),
    "png": encoded(COLOUR, "PNG"),
    "png, alpha": encoded(ALPHA, "PNG"),
    "png, grey": encoded(COLOUR.convert("L"), "PNG"),
    "png, grey and alpha": encoded(ALPHA.convert("LA"), "PNG"),
    "png, palette": encoded(COLOUR.convert("P"), "PNG"),
    "png, palette with a transparent colour": encoded(COLOUR.convert("P"), "PNG", transparency=3),
    "png, one bit": encoded(COLOUR.convert("1"), "PNG"),
    "png, 16 bits a colour": tf.io.encode_png(photo().astype("uint16") * 200).numpy(),
    "gif": encoded(COLOUR, "GIF"),
    "gif, two frames": encoded(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(180)]),
    "gif, transparent": encoded(PALETTE, "GIF", transparency=PALETTE.getpixel((50, 50))),
    "gif, on a larger screen": on_larger_screen(encoded(PALETTE, "GIF")),
    "gif, transparent on a larger screen": on_larger_screen(
        encoded(PALETTE, "GIF", transparency=PALETTE.getpixel((50, 50)))
    ),
    "bmp": encoded(COLOUR, "BMP"),
    "bmp, alpha": encoded(ALPHA, "BMP"),
    "bmp, grey": encoded(COLOUR.convert("L"), "BMP"),
    "bmp, palette": encoded(COLOUR.convert("P"), "BMP"),
}
# They are valid, but a side of them needs memory without end.
TALL = {
    "a very tall PNG": png(1, 1_000_000, bytes(4_000_000)),
    "a very tall BMP": encoded(Image.new("RGB", (1, 100_000)), "BMP"),
}
