"""Predictions of an exported model, on own pictures or on held-out ones.

Usage, from a clone:

    python -m training.predict --model runs/quickstart/saved_model/1 shirt.png boot.jpg
    python -m training.predict --model serving/regionvit/1 --folder photos --csv rows.csv
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from training.console import line_by_line, quiet_import
from training.data.sources import fashion_mnist
from training.engine.checkpoint import WriteError
from training.prediction.photos import fit_image, open_image

LABELS = Path("assets.extra", "labels.txt")  # where the export puts the names of the classes


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    if options.folder or options.csv:
        return _folder(options)
    try:
        results = run(options.model, options.images, options.samples, options.invert)
        if options.json:
            _write_json(options.json, results)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print_predictions(results)
    return 0


def _folder(options):
    with quiet_import():
        from training.prediction import folder as predict_folder
    try:
        if not (options.folder and options.csv):
            raise ValueError("--folder and --csv go together: the pictures, and where rows go")
        if options.images or options.samples or options.invert or options.json:
            raise ValueError("--folder goes with --model and --csv alone")
        rows, bad = predict_folder.run(options.model, options.folder, options.csv)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: --csv {options.csv} cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    except WriteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(f"{options.csv} has {rows:,} rows, {bad:,} of them of files that cannot be read")
    return 0


def run(model, images=(), samples=0, invert=False):
    """Predictions of a SavedModel.

    Args:
        model: folder of a SavedModel, as `export_saved_model` writes it with labels.
        images: picture files.
        samples: how many of the held-out images of Fashion-MNIST to add.
        invert: whether to take the negative of the picture files.

    Returns:
        A list with a dict for each picture: `image` (its name), `prediction`, `probabilities`
        (a dict by class), and for held-out ones `label`.

    Raises:
        ValueError: there is nothing to predict, the model or a picture cannot be read, or the
            held-out images do not fit the model.

    Example:

    >>> run("runs/quickstart/saved_model/1", ["shirt.png"])[0]["prediction"]
    'Shirt'
    """
    if not images and not samples:
        raise ValueError("name at least one picture file, or take held-out ones: --samples 10")
    model = Path(model)
    names = _labels(model)
    opened = [open_image(path) for path in images]  # before the slow import

    with quiet_import():
        import tensorflow as tf
    try:
        signature = tf.saved_model.load(str(model)).signatures["serving_default"]
        inputs = signature.structured_input_signature[1]
        if "image_bytes" in inputs:
            raise ValueError(
                f"--model {model} takes encoded pictures; use --folder and --csv, or TensorFlow "
                "Serving"
            )
        shape = inputs["images"].shape
    except (OSError, KeyError) as error:
        raise ValueError(f"--model {model} cannot be loaded as a SavedModel: {error}") from None
    _, height, width, channels = shape
    batch = [fit_image(image, height, width, channels, invert) for image in opened]
    results: list[dict] = [{"image": str(path)} for path in images]
    if samples:
        held_out = fashion_mnist.load()[1]
        if held_out.images.shape[1:] != (height, width, channels):
            raise ValueError(
                f"--samples has images {held_out.images.shape[1:]}, but {model} takes "
                f"{(height, width, channels)}; name picture files instead"
            )
        if samples > len(held_out.images):
            raise ValueError(f"--samples must be at most {len(held_out.images)}, not {samples}")
        for i in fashion_mnist.first_of_each_class(held_out, samples):
            batch.append(held_out.images[i].astype("float32"))
            label = fashion_mnist.CLASS_NAMES[held_out.labels[i]]
            results.append({"image": f"held-out image {i}", "index": int(i), "label": label})

    for start in range(0, len(batch), 250):
        part = tf.constant(np.stack(batch[start : start + 250]))
        probabilities = signature(images=part)["probabilities"].numpy()
        if probabilities.shape[1] != len(names):
            raise ValueError(
                f"{model / LABELS} has {len(names)} names, the model {probabilities.shape[1]} "
                "classes"
            )
        for result, row in zip(results[start:], probabilities, strict=False):
            result["prediction"] = names[int(row.argmax())]
            result["probabilities"] = dict(zip(names, row.tolist(), strict=True))
    return results


def print_predictions(results):
    """Prints a line for each result of `run`: its best three classes."""
    width = max(len(result["image"]) for result in results)
    for result in results:
        best = sorted(result["probabilities"].items(), key=lambda item: -item[1])[:3]
        line = f"{result['image']:<{width}}  " + ", ".join(f"{n} {p:.1%}" for n, p in best)
        if "label" in result:
            right = result["label"] == result["prediction"]
            line += "  (right)" if right else f"  (wrong: {result['label']})"
        print(line)


def _labels(model):
    if not (model / "saved_model.pb").is_file():
        versions = sorted(model.glob("**/saved_model.pb")) if model.is_dir() else []
        hint = f"; did you mean {versions[-1].parent}?" if versions else ""
        raise ValueError(f"--model {model} is not a SavedModel: no saved_model.pb in it{hint}")
    try:
        return (model / LABELS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ValueError(
            f"{model / LABELS} is missing or unreadable; the names of the classes are expected "
            "there, one a line"
        ) from None


def _write_json(path, results):
    try:
        Path(path).write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise ValueError(f"--json {path} cannot be written: {error.strerror}") from None


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.predict",
        description="Says what an exported model sees in pictures: the three likeliest classes.",
        epilog="Pictures are made to fit the model: proportions kept, black around, grey if the "
        "model is. The quick start's model knows clothes that are light on black; for pictures "
        "that are dark on white add --invert.",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="FOLDER",
        help="the SavedModel that training wrote, such as runs/quickstart/saved_model/1",
    )
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="PNG or JPEG files")
    parser.add_argument(
        "--samples",
        type=_count,
        default=0,
        metavar="N",
        help="also predict N held-out images of Fashion-MNIST and say which are right",
    )
    parser.add_argument(
        "--invert", action="store_true", help="take the negative of the picture files"
    )
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        help="predict all pictures under FOLDER, with a model of training.export; run again, it "
        "goes on where it was stopped",
    )
    parser.add_argument("--csv", metavar="FILE", help="where the rows of --folder go")
    parser.add_argument(
        "--json", metavar="FILE", help="also write all probabilities to FILE, as JSON"
    )
    return parser


def _count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
