"""What a recipe would do: values, parameters, steps and memory, without a step of training."""

import math

import tensorflow as tf

from keras_regionvit.weights.download import is_url
from keras_regionvit.weights.pretrained import check_start
from training.data.inputs import open_inputs
from training.data.sources import why_not_here

MIB = 2**20
NAMED = 10  # names of a list that are shown
VIEWS = {"Reshape", "Identity", "Squeeze", "ExpandDims", "StopGradient"}


def describe(task, data=None, seed=0):
    """The resolved recipe as text; what a training would fail with, this fails with, too.

    Args:
        task: a `training.tasks.task.Task`.
        data: optional folder or file with the data. Nothing is downloaded.
        seed: int.

    Returns:
        Lines of text. Where no data is named or it would be downloaded first, the line of steps
        says so.

    Raises:
        ValueError: data or weights cannot be read, or do not fit the recipe.

    Example:

    >>> print(describe(open_task(recipe)))
    """
    recipe = task.recipe
    missing = why_not_here(recipe.data.source, data)
    inputs = None if missing else open_inputs(task, data)
    info = task.assumed_info() if inputs is None else inputs.info
    settings = {**dict(recipe.items()), **task.of_data(inputs), "seed": seed}
    model = task.build_model(info)
    weights = _check_weights(task, model)
    fixed, each = memory(task, model, info)
    part = recipe.data.batch_size // recipe.optimizer.accumulation
    lines = [f"{key:32} {_shown(value)}" for key, value in settings.items()]
    lines += [
        "",
        f"peak learning rate   {recipe.peak_learning_rate:g}",
        f"windows              {_shown(recipe.windows)}",
        *([] if inputs is None else _of_data(inputs)),
        f"steps                {f'unknown: {missing}' if missing else _steps(task, inputs)}",
        *([f"weights              {weights}"] if weights else []),
        f"parameters           {model.count_params():,} ({task.describe(info)})",
        f"memory, estimated    {fixed / MIB:,.0f} MiB for weights, gradients and optimizer, "
        f"{each / MIB:,.1f} MiB for each of the {task.unit}: "
        f"{(fixed + part * each) / MIB:,.0f} MiB for {part} on one device",
    ]
    return "\n".join(lines)


def _of_data(inputs):
    """A line for each list of names that the data has, such as those of its kinds."""
    for key, value in inputs.info.items():
        if isinstance(value, tuple):
            shown = ", ".join(" ".join(str(name).split())[:32] for name in value[:NAMED])
            more = f" and {len(value) - NAMED:,} more" if len(value) > NAMED else ""
            yield f"{key.replace('_', ' '):20} {shown}{more}"


def _steps(task, inputs):
    """How many steps, of how many examples."""
    steps, schedule = inputs.steps_per_epoch, task.recipe.schedule
    warmup = schedule.warmup_steps or round(steps * schedule.warmup_epochs)
    return (
        f"{steps:,} an epoch, {steps * schedule.epochs:,} in all, warm-up {warmup:,}; "
        f"{inputs.source.count:,} {task.unit} to learn from, {inputs.held_out.count:,} held out"
    )


def _check_weights(task, model):
    """That the weights to start from can be read and fit; what is downloaded is left alone.

    Returns:
        A sentence where they are still to be named or downloaded, else None.
    """
    settings = task.recipe.model
    weights = settings.weights
    if not weights:
        return "are to be named with --weights" if settings.needs_weights else None
    check_start(weights, settings.variant)
    if weights == "imagenet" or is_url(weights):
        return f"{weights}, which training downloads if it has not yet"
    task.load_start(model)
    return None


def memory(task, model, info):
    """How much memory training needs, estimated from the traced graph.

    Args:
        task: a `training.tasks.task.Task`.
        model: its model.
        info: of the source.

    Returns:
        `(fixed, each)`: bytes for weights, gradients, optimizer and average; and bytes an example
        for what the backward pass reads of the forward pass. What a device keeps in reserve
        comes on top.

    Example:

    >>> fixed, each = memory(task, task.build_model(info), info)
    """
    own = task.recipe.optimizer
    copies = 2 + (2 if own.name == "adamw" else 1) + bool(own.ema) + (own.accumulation > 1)
    batch = 2  # one example would make axes of one, which other code paths may treat apart
    inputs, targets = tf.nest.map_structure(
        lambda spec: tf.TensorSpec((batch, *spec.shape), spec.dtype), task.training_specs(info)
    )

    def backward(inputs, targets):
        with tf.GradientTape() as tape:
            terms, _ = task.loss(targets, model(inputs, training=True))
            loss = tf.add_n(list(terms.values()))
        variables = [v.value for v in model.trainable_variables]
        return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    traced = tf.function(backward, autograph=False).get_concrete_function(inputs, targets)
    weights = sum(math.prod(v.shape) * 4 for v in model.trainable_variables)
    return copies * weights, _kept_bytes(traced.graph) / batch


def _kept_bytes(graph):
    """Bytes that the backward pass of a graph reads of its forward pass."""
    kept = {}
    for operation in graph.get_operations():
        if not operation.name.startswith("gradient_tape/"):
            continue
        for source in operation.inputs:
            while source.op.type in VIEWS:
                source = source.op.inputs[0]
            size = source.shape.num_elements()
            reads_weight = source.op.type in ("ReadVariableOp", "Placeholder", "Const", "Cast")
            if source.op.name.startswith("gradient_tape/") or reads_weight or not size:
                continue
            kept[source.ref()] = size * source.dtype.size
    return sum(kept.values())


def _shown(value):
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
