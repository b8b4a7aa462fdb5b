"""Images of every kind that is decoded, made by Pillow, for several tests."""

import io
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_regionvit.images.preprocessing import evaluation_image


def photo(height=97, width=131, seed=0):
    """An image with smooth colours, edges and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9 + y / 23), np.cos(y / 7), np.sin(x * y / 400)], -1)
    image = 127 + 90 * waves + 40 * (x > width // 2)[..., None] * (y % 19 < 9)[..., None]
    return (image + rng.normal(0, 9, image.shape)).clip(0, 255).astype("uint8")


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


def top_row_first(bmp):
    """A BMP that says its first row is the top one: the same image upside down."""
    (rows,) = struct.unpack("<i", bmp[22:26])
    return bmp[:22] + struct.pack("<i", -rows) + bmp[26:]


def evaluated(photos, preprocessing):
    """What the pipeline of evaluation makes of photos; `None` where it fails."""
    settings = {k: v for k, v in vars(preprocessing).items() if k != "size"}

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def image(data):
        return evaluation_image(data, preprocessing.size, **settings)

    for data in photos:
        try:
            yield image(tf.constant(data)).numpy()
        except tf.errors.InvalidArgumentError:
            yield None


def of_size(width, height, kind, mode="RGB", **options):
    """An encoded image of its own, of that size and Pillow's mode."""
    image = Image.fromarray(photo(height, width, seed=1000 * width + height))
    if mode == "RGBA":
        image.putalpha(Image.fromarray(photo(height, width, seed=1)[..., 0]))
    return encoded(image.convert(mode), kind, **options)


def png_header(width, height):
    """A PNG that says it is large, and has no pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def jpeg_header(width, height):
    """A JPEG whose frame says it is large."""
    data = KINDS["jpeg"]
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def gif_with_a_larger_frame(width, height):
    """A GIF whose frame is larger than its header says, in few bytes."""
    data = encoded(Image.new("P", (width, height)), "GIF")
    return data[:6] + struct.pack("<HH", 10, 10) + data[10:]


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
NARROW = {
    "png 1x1": of_size(1, 1, "PNG"),
    "jpeg 1x300": of_size(1, 300, "JPEG"),
    "bmp 300x1": of_size(300, 1, "BMP"),
    "gif 23x25": of_size(23, 25, "GIF"),
}
# 40 of them: what one preprocessing must make the same of, whichever way it is reached.
PHOTOS = {
    **KINDS,
    **NARROW,
    "jpeg 210x60": of_size(210, 60, "JPEG"),
    "jpeg, grey 60x210": of_size(60, 210, "JPEG", "L"),
    "jpeg, cmyk 331x200": of_size(331, 200, "JPEG", "CMYK"),
    "jpeg, progressive 64x500": of_size(64, 500, "JPEG", progressive=True),
    "png 24x24": of_size(24, 24, "PNG"),
    "png, alpha 60x210": of_size(60, 210, "PNG", "RGBA"),
    "png, grey 90x1": of_size(90, 1, "PNG", "L"),
    "png, palette 7x5": of_size(7, 5, "PNG", "P"),
    "png, 16 bits and alpha 61x43": tf.io.encode_png(
        np.dstack([photo(43, 61), photo(43, 61, seed=1)[..., 0]]).astype("uint16") * 201
    ).numpy(),
    "png, 16 bits of grey 210x60": tf.io.encode_png(
        photo(60, 210)[..., :1].astype("uint16") * 257
    ).numpy(),
    "gif, transparent 210x60": of_size(210, 60, "GIF", "P", transparency=9),
    "gif 1x40": of_size(1, 40, "GIF"),
    "bmp, palette 33x211": of_size(33, 211, "BMP", "P"),
    "bmp, top row first 60x210": top_row_first(of_size(60, 210, "BMP")),
}
# They are valid, but a side of them needs memory without end.
TALL = {
    "a very tall PNG": png(1, 1_000_000, bytes(4_000_000)),
    "a very tall BMP": encoded(Image.new("RGB", (1, 100_000)), "BMP"),
}
# No image can be read from these.
BAD = {
    "empty": b"",
    "text": b"this is no image",
    "a cut JPEG": KINDS["jpeg"][:1500],
    "the first bytes of a JPEG": b"\xff\xd8\xff",
    "a cut PNG": KINDS["png"][:1500],
    "a cut GIF": KINDS["gif"][:300],
    "a cut BMP": KINDS["bmp"][:300],
    "a BMP without its palette": KINDS["bmp, palette"][:10]
    + struct.pack("<I", 60)
    + KINDS["bmp, palette"][14:],
    "a packed BMP": KINDS["bmp"][:30] + b"\1" + KINDS["bmp"][31:],
    "a huge PNG": png_header(20_000, 20_000),
    "a huge JPEG": jpeg_header(20_000, 20_000),
    "a huge GIF": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + KINDS["gif"][10:],
    "a GIF of extensions only": KINDS["gif"][:13] + b"!\xf9\1a\0" * 9 + b";",
    "a huge BMP": KINDS["bmp"][:18] + struct.pack("<ii", 20_000, -20_000) + KINDS["bmp"][26:],
    "an endless PNG": png_header(2**31 - 1, 2**31 - 1),
    "a BMP without end": KINDS["bmp"][:18] + struct.pack("<ii", -1, -(2**31)) + KINDS["bmp"][26:],
    **TALL,
}
