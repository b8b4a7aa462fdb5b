"""Small sets of photos that lie and stand, each with a bright object on a dark ground."""

import json

import numpy as np
from PIL import Image

SIDES = [(40, 72), (72, 40), (48, 48), (30, 60), (66, 34)]


def photos(count):
    """`[(pixels, box xyxy)]`."""
    draw = np.random.default_rng(0)
    made = []
    for i in range(count):
        rows, columns = SIDES[i % len(SIDES)]
        pixels = draw.integers(0, 60, (rows, columns, 3)).astype("uint8")
        y, x = draw.integers(0, rows - 20), draw.integers(0, columns - 20)
        pixels[y : y + 18, x : x + 16] = (220, 160 + 10 * (i % 3), 40)
        made.append((pixels, (int(x), int(y), int(x) + 16, int(y) + 18)))
    return made


def put_coco(folder, parts=(("train", 13), ("val", 7))):
    """COCO JSON in `folder`, as COCO lays it out."""
    (folder / "annotations").mkdir(parents=True)
    for part, count in parts:
        (folder / part).mkdir()
        images, objects = [], []
        for i, (pixels, (x0, y0, x1, y1)) in enumerate(photos(count)):
            Image.fromarray(pixels).save(folder / part / f"{i}.png")
            rows, columns = pixels.shape[:2]
            images.append({"id": i + 1, "file_name": f"{i}.png", "height": rows, "width": columns})
            box = [x0, y0, x1 - x0, y1 - y0]
            objects.append({"id": i + 1, "image_id": i + 1, "bbox": box, "category_id": 3})
        content = {"images": images, "annotations": objects}
        content["categories"] = [{"id": 3, "name": "block"}, {"id": 8, "name": "other"}]
        (folder / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
    return folder


def put_masks(folder, parts=(("train", 13), ("val", 7))):
    """Images and palette masks of 0 for the ground, 1 for the object, 255 for an edge."""
    for part, count in parts:
        for kind in ("images", "masks"):
            (folder / kind / part).mkdir(parents=True)
        for i, (pixels, (x0, y0, x1, y1)) in enumerate(photos(count)):
            Image.fromarray(pixels).save(folder / "images" / part / f"{i}.png")
            values = np.zeros(pixels.shape[:2], "uint8")
            values[y0:y1, x0:x1], values[-1] = 1, 255
            mask = Image.fromarray(values)
            mask.putpalette([(7 * i) % 256 for i in range(768)])
            mask.save(folder / "masks" / part / f"{i}.png")
    return folder
