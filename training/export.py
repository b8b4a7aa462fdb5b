"""Makes a SavedModel that production can serve of a trained model.

Usage, from a clone:

    python -m training.export --model runs/quickstart --output serving/quickstart/1
"""

import argparse
import json
import signal
import sys
from pathlib import Path

from training.console import line_by_line, quiet_import

FIGURES = ("accuracy", "top5_accuracy", "auc", "loss")


def main(arguments=None):
    """The command; returns its exit status."""
    line_by_line()
    options = _parser().parse_args(arguments)
    stopped = []

    def stop(*_):  # as an error would, so that what is half-written is removed
        stopped.append(128 + signal.SIGTERM)
        # Once more soon: conversions of NumPy and callbacks of the collector swallow errors.
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        if not isinstance(sys.exc_info()[1], SystemExit):  # else it is being removed
            sys.exit(stopped[0])

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGALRM)]
    try:
        check_output(options.output)
        folder = run(options)
    except BaseException as error:
        if stopped:  # of which TensorFlow may have made another error
            return stopped[0]
        if not isinstance(error, OSError | ValueError):
            raise
        unwritten = f"--output {options.output} cannot be written: "
        print(f"error: {unwritten * isinstance(error, OSError)}{error}", file=sys.stderr)
        return 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}  {size / 2**20:.1f} MiB")
    return 0


def run(options):
    """Exports what the parsed options say; returns the folder, a `Path`.

    Raises:
        ValueError: the model, its labels or an option do not fit.
        OSError: the folder cannot be written.
    """
    with quiet_import():
        import tensorflow as tf

        from keras_regionvit.export.saved_model import export_saved_model
    model, facts = opened(options)
    labels = facts["labels"]
    if options.labels:
        labels = read_labels(options.labels)
    preprocessing = None if options.tensors else preprocessing_of(model, facts, options)
    card = {key: facts[key] for key in ("source", "recipe", "metrics", "seed", "revision")}
    try:
        export_saved_model(
            model,
            options.output,
            labels,
            preprocessing=preprocessing,
            top_k=options.top_k,
            features=options.features,
            precision=options.precision,
            any_size=options.any_size,
            card=card,
        )
    except tf.errors.OpError as error:  # of a full disk, among others
        raise OSError((error.message or type(error).__name__).splitlines()[0]) from error
    return Path(options.output)


def opened(options):
    """The model that `--model` names, and what is known of it.

    Returns:
        `(model, facts)`: a `keras.Model`, and a dict with `source`, `recipe`, `metrics`, `seed`,
        `revision`, `labels`, `crop_ratio`; `None` for what is not known.

    Raises:
        ValueError: there is no such model, or it cannot be read.
    """
    with quiet_import():
        import keras

        from keras_regionvit.export.signatures import parts_of  # and registers the layers
        from keras_regionvit.variants import VARIANTS
    facts: dict = dict.fromkeys(("recipe", "metrics", "seed", "revision", "labels", "crop_ratio"))
    facts["source"] = options.model
    path = Path(options.model)
    if options.model in VARIANTS and not path.exists():
        facts["source"] += f", weights {options.weights}"
        return _variant(options), facts
    if path.is_dir():
        facts |= _facts_of_run(path)
        path /= "model.keras"
    elif (path.parent / "run.json").is_file():
        facts |= _facts_of_run(path.parent)
    if not path.is_file():
        raise ValueError(
            f"--model {options.model} is neither a .keras file, nor the folder of a finished run, "
            f"nor one of {', '.join(VARIANTS)}."
        )
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # of whatever kind the file makes Keras raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"--model {path} cannot be read: {reason}") from None
    parts_of(model)
    return model, facts


def preprocessing_of(model, facts, options):
    """What becomes of a picture before `model`, a `Preprocessing`.

    A model with layers before its backbone normalises by itself and takes pixels on 0..255.
    """
    with quiet_import():
        from keras_regionvit.export.saved_model import Preprocessing
        from keras_regionvit.export.signatures import parts_of
        from keras_regionvit.images.decode import MAX_PIXELS
    height, width, channels = model.input.shape[1:]
    if height != width and options.image_size is None:
        raise ValueError(
            f"--model {options.model} takes images {height} x {width}, not squares; export it with "
            "--tensors."
        )
    given: dict = {"max_pixels": options.max_pixels or MAX_PIXELS}
    crop_ratio = options.crop_ratio or facts["crop_ratio"]
    if crop_ratio:
        given["crop_ratio"] = crop_ratio
    if parts_of(model)[0]:
        given |= {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    return Preprocessing(options.image_size or height or 224, **given)


def check_output(output):
    """That `output` is a version folder that does not exist yet.

    Raises:
        ValueError: it is not.

    Example:

    >>> check_output("serving/regionvit/1")
    """
    path = Path(output)
    if not path.name.isdecimal() or int(path.name) < 1:
        raise ValueError(
            f"--output {output} must end in a version number, such as {path / '1'}; TensorFlow "
            "Serving takes the highest."
        )
    if path.exists():
        raise ValueError(f"--output {output} exists; a version is never overwritten.")


def read_labels(path):
    """The lines of a text file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ValueError(f"--labels {path} cannot be read: {reason}") from None


def _facts_of_run(folder):
    with quiet_import():
        from training.runs.folder import REPORT, read_record
    record, recipe = read_record(folder)
    facts = {key: record[key] for key in ("recipe", "seed", "revision")}
    facts["crop_ratio"] = recipe.crop_ratio
    try:
        report = json.loads((folder / REPORT).read_text("utf-8"))
        facts["metrics"] = {key: report[key] for key in FIGURES if key in report}
        facts["labels"] = read_labels(folder / "saved_model" / "1" / "assets.extra" / "labels.txt")
    except (OSError, ValueError):
        pass  # a run that is not finished has neither
    return facts


def _variant(options):
    with quiet_import():
        import keras_regionvit
        from keras_regionvit.weights.pretrained import check_weights, load_weights
    size = options.image_size or 224
    weights = None if options.weights == "none" else options.weights
    check_weights(weights, options.model, channels=3, classes=1000, activation="softmax")
    backbone = keras_regionvit.RegionViTBackbone.from_variant(
        options.model, input_shape=(size, size, 3)
    )
    model = keras_regionvit.build_classifier(backbone, name=f"regionvit_{options.model}")
    if weights is not None:
        load_weights(model, weights, options.model)
    return model


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m training.export",
        description="Makes a SavedModel for TensorFlow Serving: encoded pictures to the best "
        "classes, with the preprocessing inside.",
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL",
        help="a .keras file, the folder of a run, or a variant such as small",
    )
    parser.add_argument(
        "--output", required=True, metavar="FOLDER/VERSION", help="such as serving/regionvit/1"
    )
    parser.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    parser.add_argument(
        "--weights",
        default="imagenet",
        help="of a variant: imagenet (default), none, or a file",
    )
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="of a variant, or of a "
                        "model for any size (default: 224)")  # fmt: skip
    parser.add_argument("--crop-ratio", type=float, metavar="SHARE", help="share of the shorter "
                        "side that is kept (default: the recipe's, or 0.875)")  # fmt: skip
    parser.add_argument("--max-pixels", type=int, metavar="N", help="larger pictures are not "
                        "decoded (default: 89478485)")  # fmt: skip
    parser.add_argument("--top-k", type=int, default=5, metavar="K", help="classes (default: 5)")
    parser.add_argument("--features", action="store_true", help="also give embedding and pyramid")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="inside the model")
    parser.add_argument("--any-size", action="store_true", help="tensors of any height and width")
    parser.add_argument(
        "--tensors",
        action="store_true",
        help="images -> probabilities alone, for OpenVINO, LiteRT, ONNX and own preprocessing",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
