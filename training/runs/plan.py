"""What a run is to do, from the words of a command and, for a run that goes on, its record."""

import dataclasses
from pathlib import Path
from typing import Any

from keras_regionvit.files import write_json
from training.data.sources import split_spec
from training.recipes import catalogue
from training.runs.folder import (
    FIRST_RUNS,
    RECORD,
    REPORT,
    check_same,
    holds_files,
    is_empty,
    latest_folder,
    new_folder,
    read_record,
    versions,
    write_record,
)
from training.runs.lock import lock_folder


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        recipe: a `training.recipes.schema.Recipe`.
        seed: int in [0, 2**31): first weights, order and augmentation follow from it.
        smoke: whether the recipe was made small.
        data: optional folder or file with the data.
        folder: of the run to go on with, None for a new run.
        record: of that run, a dict, or None.
        output: the folder that a new run was given, or None.
        skip_corrupt: whether what cannot be read is left out.
        save_every: steps between checkpoints within an epoch, 0 for none.
        jit_compile: whether XLA compiles the steps.
        epochs_before: epochs of the run so far where it is now to end earlier, else 0.
    """

    recipe: Any
    seed: int = 0
    smoke: bool = False
    data: str | None = None
    folder: Path | None = None
    record: dict | None = None
    output: str | None = None
    skip_corrupt: bool = False
    save_every: int = 0
    jit_compile: bool = False
    epochs_before: int = 0

    def shared(self):
        """What all workers of a training must agree on, plain data."""
        return {
            "recipe": dict(self.recipe.items()),
            "versions": {key: versions()[key] for key in ("keras", "tensorflow", "numpy")},
            "seed": self.seed,
            "smoke": self.smoke,
            "--skip-corrupt": self.skip_corrupt,
            "--save-every": self.save_every,
            "--jit": self.jit_compile,
        }

    @property
    def complete(self):
        """Whether the run to go on with has ended."""
        return self.folder is not None and (self.folder / REPORT).exists()

    @property
    def expected_folder(self):
        """Where the run is kept, as far as this process can tell."""
        return Path(self.folder or self.output or FIRST_RUNS / self.recipe.name)


def make_plan(options, chief=True):
    """What to do, from parsed options.

    Args:
        options: of `training.train`.
        chief: whether this process keeps the run's folder; others may not see it.

    Returns:
        A `Plan`.

    Raises:
        ValueError: options are wrong, or differ from those the run began with.
    """
    named = options.resume or options.output
    seen = named and Path(named, RECORD).exists()
    if not chief and not seen and options.recipe:  # the chief's record is as good as one's own
        folder = record = began = None
    else:
        folder, record, began = _folder_to_resume(options)
    overrides, data = _overrides(options)
    smoke = options.smoke
    if record is not None:
        if options.smoke and not record["smoke"]:
            raise ValueError(f"--resume {folder}: the run was begun without --smoke")
        smoke, data = record["smoke"], data or record["data"]
    if options.recipe:
        name = options.recipe
        recipe = catalogue.smoke(name) if smoke else catalogue.load(name).RECIPE
    else:
        recipe = began
    epochs_before = 0
    if record is not None:
        began, epochs_before = _ended_earlier(began, overrides)
    recipe = recipe.with_overrides(overrides)
    seed = options.seed if options.seed is not None else (record or {"seed": 0})["seed"]
    if record is not None:
        check_same(folder, began, record["seed"], recipe, seed)
    elif recipe.model.needs_weights and not recipe.model.weights and not options.dry_run:
        raise ValueError(
            f"the recipe {recipe.name} starts from trained weights; name them with --weights, "
            "such as --weights imagenet or --weights runs/imagenet1k/model.keras"
        )
    return Plan(
        recipe,
        seed,
        smoke,
        data,
        folder,
        record,
        output=options.output or options.resume or None,
        skip_corrupt=options.skip_corrupt,
        save_every=options.save_every,
        jit_compile=options.jit,
        epochs_before=epochs_before,
    )


def check_output(plan):
    """Checks that a new run could be kept where the plan says, and makes nothing.

    Raises:
        ValueError: something is there already.
    """
    if plan.folder is None and plan.output and Path(plan.output).exists():
        if not Path(plan.output).is_dir():
            raise ValueError(f"--output {plan.output} is a file; name a new folder")
        if not is_empty(plan.output):
            raise ValueError(holds_files(plan.output))


def begin(plan, held):
    """Makes the folder of a new run, with its record, or takes up that of an earlier one.

    For the chief. The folder is this process' alone until `held` is closed.

    Args:
        plan: a `Plan`.
        held: a `contextlib.ExitStack`.

    Returns:
        The folder, a string.

    Raises:
        ValueError: the folder holds something, cannot be made, or another process trains in it.
        WriteError: the record cannot be written.
    """
    folder = plan.folder
    if folder is None:
        folder = new_folder(plan.output, plan.recipe.name)
    refusal = f"another process trains in {folder}; stop it first, or name another --output"
    held.enter_context(lock_folder(folder, refusal))
    if plan.record is None:
        if not is_empty(folder):  # another process was there first, and has ended
            raise ValueError(holds_files(folder))
        write_record(folder, plan.recipe, plan.seed, plan.smoke, plan.data)
        return str(folder)
    if plan.record["versions"] != versions():
        print(f"note: other versions than the run began with, see {folder}/{RECORD}")
    if plan.epochs_before:
        recipe = {"recipe": plan.recipe.to_dict(), "epochs_before": plan.epochs_before}
        write_json(Path(folder, RECORD), {**plan.record, **recipe})
        print(
            f"{folder} is to end after {plan.recipe.schedule.epochs} epochs in place of "
            f"{plan.epochs_before}; the learning rate falls accordingly"
        )
    return str(folder)


def _overrides(options):
    """`(texts by dotted name, data)` of the options that change a recipe."""
    overrides = dict(options.set)
    if options.precision:
        overrides["compute.precision"] = options.precision
    if options.deterministic:
        overrides["compute.deterministic"] = "true"
    if options.weights:
        overrides["model.weights"] = options.weights
    source, data = split_spec(options.data)
    if source is not None:
        overrides["data.source"] = source
    return overrides, data


def _ended_earlier(began, overrides):
    """A run may end earlier than it was begun to, by `--set schedule.epochs`.

    A warm-up that would not come to its end is made half of what is left of the run; `overrides`
    are then given it, too.

    Returns:
        `(recipe, epochs)`: the recipe with that change, and its epochs before; 0 if it has none.
    """
    key, warmup = "schedule.epochs", "schedule.warmup_epochs"
    if key not in overrides or began.schedule.steps:
        return began, 0
    shorter = began.with_overrides({key: overrides[key], warmup: "0"}).schedule.epochs
    if shorter >= began.schedule.epochs:
        return began, 0
    changes = {key: shorter}
    if began.schedule.warmup_epochs >= shorter:
        changes[warmup] = shorter / 2
        overrides.setdefault(warmup, str(shorter / 2))
    return began.with_values(changes), began.schedule.epochs


def _folder_to_resume(options):
    """`(folder, record, recipe)` of the run to go on with, `None`s for a new one."""
    if options.resume is None:
        return None, None, None
    if options.resume:
        if options.output and Path(options.output) != Path(options.resume):
            raise ValueError(f"--resume {options.resume} keeps its folder; leave out --output")
        folder = Path(options.resume)
        return folder, *read_record(folder)
    output = Path(options.output) if options.output else None
    if output is None and options.recipe:
        output = latest_folder(options.recipe)
    if output is not None and (output / RECORD).exists():
        return output, *read_record(output)
    if not options.recipe:
        raise ValueError("--resume without a folder needs --recipe NAME")
    return None, None, None
