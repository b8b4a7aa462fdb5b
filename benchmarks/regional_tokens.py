"""With and without regional tokens on the composed set: python -m benchmarks.regional_tokens.

Table A5 of the paper at a small budget: the quick starts of detection and segmentation for a few
epochs, all else equal, in processes of their own. A run that is in the CSV file is not run again.
"""

import argparse
import csv
import itertools
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

METRICS = {  # of a recipe, with what the paper has without and with them (Table 8)
    "quickstart_detection": ("val_AP", (40.7, 42.2)),
    "quickstart_segmentation": ("val_mean_iou", (42.3, 43.7)),
}
FIELDS = ["recipe", "regional_tokens", "seed", "epochs", "value"]


def main(arguments=None):
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("benchmarks/regional_tokens.csv"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    known = read(options.csv)
    for seed, recipe, regional in itertools.product(
        range(options.seeds), METRICS, (False, True)
    ):  # in turn: a run that is cut off leaves pairs
        row = {"recipe": recipe, "regional_tokens": regional, "seed": seed}
        row = {key: str(value) for key, value in (row | {"epochs": options.epochs}).items()}
        if not any(row.items() <= done.items() for done in known):
            known.append(row | {"value": str(run(recipe, regional, seed, options.epochs))})
            with open(options.csv, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(known)
    show([row for row in known if row["epochs"] == str(options.epochs)])


def read(path):
    """The rows of a file, none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(recipe, regional, seed, epochs):
    """The metric of a run's last epoch."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "training.train", "--recipe", recipe, "--seed", str(seed)]
        command += ["--set", f"model.regional_tokens={str(regional).lower()}"]
        command += ["--set", f"schedule.epochs={epochs}", "--output", f"{folder}/run"]
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        return float(read(Path(folder) / "run" / "log.csv")[-1][METRICS[recipe][0]])


def show(rows):
    """A line for each recipe: mean and all values, without and with regional tokens."""
    for recipe, (metric, paper) in METRICS.items():
        for regional, printed in zip((False, True), paper, strict=True):
            values = [
                100 * float(row["value"])
                for row in rows
                if (row["recipe"], row["regional_tokens"]) == (recipe, str(regional))
            ]
            if values:
                word = "with" if regional else "without"
                each = ", ".join(f"{value:.1f}" for value in values)
                mean = statistics.mean(values)
                print(f"{recipe:26}{metric:14}{word:9}{mean:6.1f}  ({each}); paper {printed}")


if __name__ == "__main__":
    main()
