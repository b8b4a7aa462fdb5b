"""Predictions for a folder of any size, as CSV, that go on where they were stopped.

The command is `python -m training.predict --model MODEL --folder photos --csv rows.csv`.
"""

import csv
import io
import itertools
import json
import os
from pathlib import Path

import tqdm

from keras_regionvit.files import write_json
from training.data.sources.listing import PassedOver
from training.prediction.files import names_under, read, readable
from training.prediction.predictor import BATCH, Predictor
from training.runs.lock import lock_file


def run(model, images, output, batch=BATCH, checkpoint=None):
    """Writes a row for each image under a folder, beginning after the rows that are there.

    A row is `file` (relative, with `/`), `valid` (1 or 0), then `class`, `label`, `score` of the
    best class, second best and so on. What is no image has none; it is counted and printed.
    `OUTPUT.json` keeps what the rows were made with.

    Args:
        model: what `Predictor` takes: a SavedModel, a `.keras` file or the folder of a run.
        images: folder of images, with folders in it or not.
        output: the CSV file, new or from an earlier run with the same model and folder.
        batch: images at a time.
        checkpoint: of a run, "best" or "last", see `Predictor`.

    Returns:
        `(rows, bad)`: how many rows the file has, and how many of them are of files that cannot
        be read.

    Raises:
        ValueError: the model or a folder cannot be read, or `output` is of another run.
        WriteError: `OUTPUT.json` cannot be written.
        OSError: `output` cannot be written.

    Example:

    >>> run("serving/regionvit/1", "photos", "rows.csv")
    """
    images, output = Path(images), Path(output)
    if not images.is_dir():
        raise ValueError(f"--folder {images} is not a folder.")
    predictor = Predictor(model, checkpoint)
    columns = header(predictor)
    _same_run(output, {"model": predictor.identity, "images": str(images.resolve())})
    with open(output, "a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        lock_file(file, f"--csv {output} is being written by another process.")
        done, bad = _rows_there(output, columns)
        if not output.stat().st_size:
            _append(file, [columns])
        passed = PassedOver()
        names, count = iter(names_under(images, done, passed)), len(done)
        with tqdm.tqdm(initial=count, unit=" images", mininterval=5) as progress:
            while some := list(itertools.islice(names, batch)):
                made = rows(predictor, [(name, read(images / name)) for name in some])
                _append(file, made)
                bad += sum(row[1] == 0 for row in made)
                progress.set_postfix(bad=bad, refresh=False)
                progress.update(len(made))
                count += len(made)
        for note in passed.notes():
            print(note)
        return count, bad


def header(predictor):
    """Names of the columns of `rows`."""
    best = range(1, predictor.top_k + 1)
    return ["file", "valid", *(f"{name}{i}" for i in best for name in ("class", "label", "score"))]


def rows(predictor, images):
    """The rows of images.

    Args:
        predictor: a `Predictor`.
        images: list of pairs of a name and encoded bytes.

    Returns:
        A list of lists in the order of `header`; empty strings where an image cannot be read.

    Example:

    >>> rows(predictor, [("cat.jpg", data)])
    [['cat.jpg', 1, 281, 'tabby', '0.613214']]
    """
    made = []
    predictions = predictor([readable(name, data) for name, data in images])
    for (name, _), prediction in zip(images, predictions, strict=True):
        row = [name, int(prediction.valid)]
        for number, label, score in zip(
            prediction.classes, prediction.labels, prediction.scores, strict=True
        ):
            row += [number, label, f"{score:.6f}"] if prediction.valid else ["", "", ""]
        made.append(row)
    return made


def _append(file, rows):
    """Adds whole rows and sees them onto the disk: a kill costs at most the last batch."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    file.write(text.getvalue())
    file.flush()
    os.fsync(file.fileno())


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


def _same_run(output, made_with):
    """That earlier rows, if any, were made with the same model and folder."""
    path = output.with_name(output.name + ".json")
    try:
        before = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if output.exists():
            raise ValueError(
                f"--csv {output} exists and is not of an earlier run; name a new file."
            ) from None
        write_json(path, made_with)
        return
    except ValueError:
        raise ValueError(f"{path} is damaged; name a new file.") from None
    for key, value in made_with.items():
        if before.get(key) != value:
            what = {"model": "model", "images": "folder"}[key]
            raise ValueError(f"--csv {output} was made with another {what}; name a new file.")
