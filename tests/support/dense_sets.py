"""Small sets with boxes or masks, as COCO, VOC and folders of masks have them.

Images have 9 rows and 12 columns, see `tests.support.sources.write`.
"""

import json

import numpy as np
from PIL import Image

from tests.support.sources import write

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]


def coco(count, annotations=(), **more):
    """A COCO file's content: images 0.png, 1.png, ... with ids from 10."""
    images = [
        {"id": 10 + i, "file_name": f"{i}.png", "width": 12, "height": 9} for i in range(count)
    ]
    content = {"images": images, "annotations": list(annotations), "categories": CATEGORIES}
    return content | more


def coco_box(image_id=10, bbox=(1, 2, 3, 4), category_id=7, **more):
    return {"image_id": image_id, "bbox": list(bbox), "category_id": category_id} | more


def put_coco(folder, file, content, images="", count=2):
    write(folder, [f"{images}{i}.png" for i in range(count)])
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def mask_of(number, palette=True):
    """Values 0, 1, 2 and 255, and the image's own number in a corner."""
    values = np.zeros((9, 12), "uint8")
    values[:3], values[3:5], values[8], values[0, 0] = 1, 2, 255, number
    image = Image.fromarray(values)
    if palette:
        image.putpalette([(7 * i) % 256 for i in range(768)])
    return image, values


def put_masks(folder, images, masks, count=2, first=0, palette=True):
    write(folder, [f"{images}/{first + i}.png" for i in range(count)])
    (folder / masks).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        mask_of(i % 3, palette)[0].save(folder / masks / f"{first + i}.png")
    return folder


def voc_item(name="cat", box=(2, 3, 4, 6), more=""):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox>{more}</object>"


def voc_xml(*items, size=(12, 9)):
    said = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation>{said}{''.join(items)}</annotation>"


def put_voc(folder, images, annotations, texts, first=0):
    write(folder, [f"{images}/{first + i}.png" for i in range(len(texts))])
    (folder / annotations).mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(texts):
        if text is not None:
            (folder / annotations / f"{first + i}.xml").write_text(text)
    return folder
