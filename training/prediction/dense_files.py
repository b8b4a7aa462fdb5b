"""What `training.predict` does with a detector or a segmenter: lines, JSON, drawings, masks.

Photos are read, predicted and forgotten a few at a time, so that any number takes the same memory.
"""

import contextlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_regionvit.files import replacing
from keras_regionvit.images.decode import MAX_PIXELS
from training.data.sources.listing import PassedOver
from training.prediction.coco_results import CocoNumbers
from training.prediction.dense import DensePredictor
from training.prediction.drawing import PngFolder, palette_png, under_colors, with_boxes
from training.prediction.files import named, names_under, read, readable, why_unreadable

BATCH = 8  # photos at a time
SHOWN = 5  # detections or classes of a line


class _Detections:
    """What is said and written of detections."""

    options = ("json", "draw", "annotations")

    def __init__(self, predictor, options):
        self.labels = predictor.labels
        self.numbers = CocoNumbers(self.labels, predictor.category_ids, options.annotations)

    def lines(self, name, found):
        """The best detections, a line each."""
        count = len(found["scores"])
        yield f"{name}  {count} found" + (f", the best {SHOWN}:" if count > SHOWN else "")
        for row in range(min(count, SHOWN)):
            box = " ".join(f"{side:.0f}" for side in found["boxes"][row])
            label = self.labels[found["classes"][row]]
            yield f"  {label} {found['scores'][row]:.1%}  box {box}"

    def rows(self, name, found):
        """Rows of COCO's results."""
        return self.numbers.rows(name, found)

    def pngs(self, encoded, found, asked):
        """`(option, image)` of each drawing that is asked for."""
        if "draw" in asked:
            yield "draw", with_boxes(encoded, found, self.labels)


class _Masks:
    """What is said and written of masks."""

    options = ("json", "draw", "masks")

    def __init__(self, predictor, options):
        self.labels = predictor.labels

    def _shares(self, found):
        """The share of each class of an image, the greatest first."""
        counts = np.bincount(found["mask"].ravel(), minlength=len(self.labels))
        order = np.argsort(-counts, kind="stable")
        return {self.labels[k]: counts[k] / found["mask"].size for k in order if counts[k]}

    def lines(self, name, found):
        """The classes with their share."""
        shares = list(self._shares(found).items())
        more = f" and {len(shares) - SHOWN} more" if len(shares) > SHOWN else ""
        yield f"{name}  " + ", ".join(f"{key} {share:.1%}" for key, share in shares[:SHOWN]) + more

    def rows(self, name, found):
        """A row of the classes' shares."""
        return [{"file_name": name, "shares": self._shares(found)}]

    def pngs(self, encoded, found, asked):
        """`(option, image)` of each drawing that is asked for."""
        if "masks" in asked:
            yield "masks", palette_png(found["mask"], len(self.labels))
        if "draw" in asked:
            yield "draw", under_colors(encoded, found["mask"], len(self.labels))


KINDS: dict[str, Any] = {"detection": _Detections, "segmentation": _Masks}


def run(task, options):
    """Predicts the photos that the options name; prints lines, or a count for a whole folder.

    Args:
        task: "detection" or "segmentation".
        options: the parsed options of `training.predict`.

    Returns:
        Sentences about photos that cannot be read, a list.

    Raises:
        ValueError: the model or an option does not fit.
        WriteError: a file cannot be written.
    """
    _check(task, options)
    predictor = DensePredictor(options.model, options.checkpoint)
    kind = KINDS[task](predictor, options)
    folders = {
        option: PngFolder(f"--{option}", getattr(options, option))
        for option in ("draw", "masks")
        if getattr(options, option)
    }
    passed, count, bad = PassedOver(), 0, []
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(_Rows(options.json)) if options.json else None
        photos = iter(_photos(options, passed))
        progress = stack.enter_context(
            tqdm.tqdm(unit=" images", mininterval=5, disable=not options.folder)
        )
        while some := list(itertools.islice(photos, BATCH)):
            encoded = [readable(path, read(path)) for path, _ in some]
            for (path, name), data, found in zip(some, encoded, predictor(encoded), strict=True):
                if not found["valid"]:
                    bad.append(why_unreadable(path, MAX_PIXELS))
                    continue
                if not options.folder:
                    print(*kind.lines(path, found), sep="\n")
                if rows is not None:
                    rows.add(kind.rows(name, found))
                for option, image in kind.pngs(data, found, folders):
                    folders[option].write(path, name, image)
            count += len(some)
            progress.update(len(some))
    if options.folder:
        print(*passed.notes(), f"{count:,} images, {len(bad):,} of them cannot be read", sep="\n")
    return bad


def _check(task, options):
    """That the options fit the task and each other."""
    known = KINDS[task].options
    for option in ("csv", "samples", "invert", "annotations", "masks"):
        if getattr(options, option) and option not in known:
            raise ValueError(f"--{option} is not for a model of {task}, as {options.model} is.")
    if options.annotations and not options.json:
        raise ValueError("--annotations gives the ids of --json, which is missing.")
    if options.folder and options.images:
        raise ValueError("--folder goes without other images.")
    if options.folder and not any(getattr(options, name) for name in ("json", "draw", "masks")):
        wanted = ", ".join(f"--{name}" for name in known if name != "annotations")
        raise ValueError(f"--folder needs to know what to write: one of {wanted}.")
    if options.folder and not Path(options.folder).is_dir():
        raise ValueError(f"--folder {options.folder} is not a folder.")
    if not options.folder and not options.images:
        raise ValueError("name at least one image file, folder or pattern such as 'photos/*.jpg'")


def _photos(options, passed):
    """`(path, name)` of each photo: names are relative to `--folder`, or else to their folder."""
    if options.folder:
        for name in names_under(options.folder, passed=passed):
            yield os.path.join(options.folder, name), name
        return
    for path in dict.fromkeys(named(options.images)):
        yield path, os.path.basename(path)


class _Rows:
    """A JSON list that is written row by row, whole or not at all.

    Args:
        path: the file to make or replace.
    """

    def __init__(self, path):
        self.path, self._first = Path(path), True

    def __enter__(self):
        with contextlib.ExitStack() as stack:  # `replacing` says in a sentence what fails here
            aside = stack.enter_context(replacing(self.path))
            self._file = stack.enter_context(open(aside, "w", encoding="utf-8"))
            self._file.write("[")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        if error[0] is None:
            self._file.write("\n]\n")
        return self._stack.__exit__(*error)

    def add(self, rows):
        """Adds rows, plain data."""
        for row in rows:
            self._file.write(("\n" if self._first else ",\n") + json.dumps(row))
            self._first = False
