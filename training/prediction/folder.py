"""Predictions for a folder of any size, as CSV, that go on where they were stopped.

The command is `python -m training.predict --model FOLDER --folder photos --csv rows.csv`.
"""

import csv
import fcntl
import io
import json
import os
import time
from pathlib import Path

from training.console import quiet_import
from training.data.sources.folders import SUFFIXES


def run(model, images, output, batch=32, say=print):
    """Writes a row for each picture under a folder, beginning after the rows that are there.

    A row is `file` (relative, with `/`), `valid` (1 or 0), then `class`, `label`, `score` of the
    best class, second best and so on. `OUTPUT.json` keeps what the rows were made with.

    Args:
        model: folder of a SavedModel that takes `image_bytes`.
        images: folder of pictures, with folders in it or not.
        output: the CSV file, new or from an earlier run with the same model and folder.
        batch: pictures at a time.
        say: what takes the lines of progress.

    Returns:
        `(rows, bad)`: how many rows the file has, and how many of them are of files that cannot
        be read.

    Raises:
        ValueError: the model or a folder cannot be read, or `output` is of another run.
        WriteError: `OUTPUT.json` cannot be written.

    Example:

    >>> run("serving/regionvit/1", "photos", "rows.csv")
    """
    images, output = Path(images), Path(output)
    if not images.is_dir():
        raise ValueError(f"--folder {images} is not a folder.")
    if batch < 1:
        raise ValueError(f"--batch-size must be at least 1, not {batch}")
    predictor = Predictor(model)
    _same_run(output, {"model": predictor.identity, "images": str(images.resolve())})
    said = begun = time.monotonic()
    with open(output, "a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        _alone(file, output)
        done, bad = _rows_there(output, predictor.header)
        before = rows = len(done)
        if not output.stat().st_size:
            _append(file, [predictor.header])
        for names in batches(names_under(images, done), batch):
            made = predictor([(name, read(images / name)) for name in names])
            _append(file, made)
            rows += len(made)
            bad += sum(row[1] == 0 for row in made)
            if time.monotonic() - said > 5:
                said = time.monotonic()
                speed = (rows - before) / (said - begun)
                say(f"{rows:,} rows, {bad:,} bad, {speed:,.1f} images/s")
    return rows, bad


class Predictor:
    """A SavedModel that makes rows of pictures.

    Args:
        model: folder of a SavedModel that takes `image_bytes`, with labels or not.

    Attributes:
        header: names of the columns.
        identity: what tells the model from others: the checksum of its weights.

    Raises:
        ValueError: the model cannot be read.

    Example:

    >>> Predictor("serving/regionvit/1")([("cat.jpg", data)])
    [['cat.jpg', 1, 281, 'tabby', '0.613214']]
    """

    def __init__(self, model):
        with quiet_import():
            import tensorflow as tf

            from keras_regionvit.export.model_card import read_card
        if not (Path(model) / "saved_model.pb").is_file():
            raise ValueError(f"--model {model} is not a SavedModel: no saved_model.pb in it.")
        card = read_card(model)
        if card["signatures"]["serving_default"]["input"] != "image_bytes":
            raise ValueError(
                f"--model {model} takes images, not files; make one that does: "
                "python -m training.export"
            )
        self.identity = card["sha256"]
        self._tf, self._loaded = tf, tf.saved_model.load(str(model))
        self._serve = self._loaded.signatures["serving_default"]
        best = self._serve.structured_outputs["classes"].shape[-1]
        self.header = ["file", "valid"]
        for i in range(1, best + 1):
            self.header += [f"class{i}", f"label{i}", f"score{i}"]

    def __call__(self, pictures):
        """Rows, lists in the order of `header`, of pairs of a name and encoded bytes."""
        answer = self._serve(image_bytes=self._tf.constant([data for _, data in pictures]))
        columns = [answer[k].numpy() for k in ("valid", "classes", "labels", "scores")]
        rows = []
        for (name, _), valid, *best in zip(pictures, *columns, strict=True):
            row = [name, int(valid)]
            for number, label, score in zip(*best, strict=True):
                row += [int(number), label.decode(), f"{score:.6f}"] if valid else ["", "", ""]
            rows.append(row)
        return rows


def names_under(folder, done=frozenset()):
    """Names of the pictures under a folder, relative and with `/`, sorted within each folder.

    Only one folder's listing is held at a time. Links to folders are not followed.

    Raises:
        ValueError: a folder cannot be listed.
    """

    def refuse(error):
        raise ValueError(
            f"--folder has a folder that cannot be listed, {error.filename}: {error.strerror}; "
            "make it readable, or move it away."
        )

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        relative = Path(place).relative_to(folder)
        for file in sorted(files):
            name = (relative / file).as_posix()
            if file.lower().endswith(SUFFIXES) and name not in done:
                yield name


def batches(items, size):
    """Lists of `size` items; the last may be shorter."""
    some = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def read(path):
    """The bytes of a file; none of one that cannot be read, whose row is then not valid."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _append(file, rows):
    """Adds whole rows and sees them onto the disk: a kill costs at most the last batch."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    file.write(text.getvalue())
    file.flush()
    os.fsync(file.fileno())


def _alone(file, output):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ValueError(f"--csv {output} is being written by another process.") from None


def _rows_there(output, header):
    """The names that have a whole row, and how many of them are bad; cuts a torn row off."""
    done, bad, whole, torn = set(), 0, 0, False
    with open(output, newline="", encoding="utf-8", errors="surrogateescape") as file:
        lines = _Counted(file)
        for row in csv.reader(lines):
            if torn or (whole == 0 and lines.ended and row != header):
                raise ValueError(f"--csv {output} is not of an earlier run; name a new file.")
            if not lines.ended or len(row) != len(header) or row[0] in done:
                torn = True  # by a kill, if no other row follows
                continue
            if whole:
                done.add(row[0])
                bad += row[1] == "0"
            whole = lines.bytes
    os.truncate(output, whole)
    return done, bad


class _Counted:
    """The lines of a file, with the bytes so far and whether the last line was ended."""

    def __init__(self, file):
        self.file, self.bytes, self.ended = file, 0, True

    def __iter__(self):
        for line in self.file:
            self.bytes += len(line.encode("utf-8", "surrogateescape"))
            self.ended = line.endswith("\n")
            yield line


def _same_run(output, facts):
    """That earlier rows, if any, were made with the same model and folder."""
    path = output.with_name(output.name + ".json")
    try:
        before = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if output.exists():
            raise ValueError(
                f"--csv {output} exists and is not of an earlier run; name a new file."
            ) from None
        with quiet_import():
            from training.runs.folder import write_json
        write_json(path, facts)
        return
    except ValueError:
        raise ValueError(f"{path} is damaged; name a new file.") from None
    for key, value in facts.items():
        if before.get(key) != value:
            raise ValueError(f"--csv {output} was made with another {key}; name a new file.")
