"""The ablations of the paper's section 4.4: budgets on RegionViT-S, and a small trained table.

    python -m benchmarks.ablations                        # parameters and GMACs, two minutes
    python -m benchmarks.ablations --train fashion_mnist  # and accuracy at equal budget, see below

GMACs are 1e9 multiply-adds of one image of 224x224, counted on the traced graph
(`benchmarks.flops`): the paper calls them GFLOPs.

With `--train` each row's switches are put into a small model (`benchmarks.ablation_training`
says which and for how long), trained with three seeds on 5,000 images of Fashion-MNIST and
judged on 1,000 others. Every run is kept in a CSV file as soon as it is done; a further call
with the same file goes on from there.
"""

import argparse
import dataclasses
import gc
import statistics
from pathlib import Path

import keras

from benchmarks.flops import count_macs
from keras_regionvit import RegionViTBackbone, build_classifier
from keras_regionvit.variants import Paper

SWIN_FRAME = {"stem": "patch", "downsample": "patch_merging"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the paper's ablation tables.

    Attributes:
        table: where the paper has it.
        paper: its parameters in millions, GFLOPs and top-1 accuracy there.
        arguments: what differs from RegionViT-S, as arguments of the backbone.
        note: where a printed figure cannot be met, why.
    """

    table: str
    paper: Paper
    arguments: dict = dataclasses.field(default_factory=dict)
    note: str = ""


ROWS = {
    "RegionViT-S": Row("8-13", Paper(30.6, 5.3, 82.6)),
    "no regional tokens": Row(
        "8, A5",
        Paper(30.4, 5.0, 82.2),
        {"regional_tokens": False},
        "the paper's GFLOPs leave out the products of attention",
    ),
    "2x2 convolution": Row("9", Paper(32.1, 5.5, 82.3), {"downsample": "dense2"}),
    "3x3 convolution": Row("9", Paper(34.1, 5.7, 82.5), {"downsample": "dense3"}),
    "no weight sharing": Row("10", Paper(40.4, 5.3, 82.7), {"weight_sharing": False}),
    "all keys": Row("11", Paper(30.6, 6.0, 82.7), {"local_keys": "all"}),
    "no position": Row("12", Paper(30.6, 5.3, 82.4), {"position": "none"}),
    "absolute position": Row("12", Paper(30.9, 5.3, 82.2), {"position": "absolute"}),
    "both positions": Row("12", Paper(30.9, 5.3, 82.7), {"position": "both"}),
    "overlapped windows": Row(
        "13",
        Paper(30.6, 18.8, 82.8),
        {"overlap": True},
        "wider bias tables make 30.7 M; the paper's figures are those of a 1-conv stem",
    ),
    "overlapped, 1-conv stem": Row(
        "13",
        Paper(30.6, 18.8, 82.8),
        {"overlap": True, "stem": "conv1"},
    ),
    "shifted window": Row(
        "14",
        Paper(29.0, 4.5, 81.3),
        {
            "regional_tokens": False,
            "attention": "shifted_window",
            "depths": (2, 2, 6, 2),
            **SWIN_FRAME,
        },
        "Swin-T has 28.29 M; 29 M is how its own paper rounds it",
    ),
    "R2L in Swin's frame": Row(
        "14",
        Paper(32.1, 5.2, 82.0),
        SWIN_FRAME,
        "the paper's GFLOPs leave out the products of attention, which Swin's 4.5 includes",
    ),
}


def build(row, variant="small", classes=1000):
    """The classifier of a row: random weights, images of 224x224.

    Args:
        row: a `Row`.
        variant: the model that is switched.
        classes: width of its head.

    Returns:
        A functional `keras.Model`.

    Example:

    >>> build(ROWS["2x2 convolution"]).count_params()
    32122810
    """
    arguments = {"input_shape": (224, 224, 3), **row.arguments}
    return build_classifier(RegionViTBackbone.from_variant(variant, **arguments), classes)


_HEADER = ("row", "table", "parameters", "GMACs", "paper M", "diff %", "paper G", "diff %")
_LINE = "{:<25}{:>6}{:>12}{:>8}{:>9}{:>8}{:>9}{:>8}"
_TRAINED_HEADER = ("paper top-1", "ours, mean", "spread", "each seed")
_TRAINED_LINE = "{:>13}{:>12}{:>8}   {:<18}"


def format_row(name, row, parameters, macs, accuracies=()):
    """One line of the table.

    Args:
        name: what the line begins with.
        row: its `Row`.
        parameters: number of parameters.
        macs: multiply-adds of one image.
        accuracies: of small trained models in %, one for each seed; none if not trained.

    Returns:
        A string, aligned with the header, and the row's note.

    Example:

    >>> format_row("all keys", ROWS["all keys"], 30_586_618, 6_044_871_168)
    'all keys                     11  30,586,618   6.045     30.6    +0.0      6.0    +0.7'
    """
    ours = parameters / 1e6, macs / 1e9
    theirs = row.paper.parameters, row.paper.gflops
    figures = []
    for a, b in zip(ours, theirs, strict=True):
        figures += [f"{b:.1f}", f"{100 * (a / b - 1):+z.1f}"]
    line = _LINE.format(name, row.table, f"{parameters:,}", f"{macs / 1e9:.3f}", *figures)
    if accuracies:
        spread = f"{statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else "-"
        each = " ".join(f"{value:.1f}" for value in accuracies)
        mean = f"{statistics.mean(accuracies):.2f}"
        line += _TRAINED_LINE.format(f"{row.paper.top1:.1f}", mean, spread, each)
    return f"{line}  {row.note}".rstrip()


def print_table(names, accuracies=None):
    """Prints the table, one model at a time.

    Args:
        names: of rows.
        accuracies: optional `{name: [accuracy in % of each seed]}`.
    """
    trained = _TRAINED_LINE.format(*_TRAINED_HEADER) if accuracies else ""
    print((_LINE.format(*_HEADER) + trained).rstrip())
    for name in names:
        model = build(ROWS[name])
        parameters, macs = model.count_params(), count_macs(model)
        mine = accuracies[name] if accuracies else ()
        print(format_row(name, ROWS[name], parameters, macs, mine), flush=True)
        # free the model before the next one is built
        del model
        keras.backend.clear_session()
        gc.collect()


def main(arguments=None):
    """The command.

    Args:
        arguments: the words of the command line; `None` means the process's own.

    Example:

    >>> main(["--rows", "all keys", "no position"])
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, metavar="ROW", help=f"some of {', '.join(ROWS)}"
    )
    parser.add_argument("--train", choices=["fashion_mnist"], help="train small models as well")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(0 1 2)")
    parser.add_argument("--epochs", type=int, help="length of each training (5)")
    parser.add_argument("--images", type=int, help="images to learn from (5000)")
    parser.add_argument(
        "--csv",
        type=Path,
        default=Path("runs/ablations.csv"),
        help="file of the trained runs (%(default)s)",
    )
    options = parser.parse_args(arguments)
    names = options.rows or list(ROWS)
    if not options.train:
        print_table(names)
        return
    from benchmarks import ablation_training

    given = {"epochs": options.epochs, "training_images": options.images}
    changed = {key: value for key, value in given.items() if value is not None}
    try:
        ablation_training.check(options.csv, changed)
    except ValueError as error:
        parser.error(str(error))
    rows = {name: ROWS[name] for name in names}
    accuracies = ablation_training.run(rows, options.seeds, options.csv, changed)
    print_table(names, accuracies)
    print(ablation_training.describe(options.seeds, changed))


if __name__ == "__main__":
    main()
