"""What a recipe would do: values, parameters, steps and memory, without a step of training."""

import math

import tensorflow as tf

from training.data.inputs import open_inputs

MIB = 2**20
VIEWS = {"Reshape", "Identity", "Squeeze", "ExpandDims", "StopGradient"}


def describe(task, data=None, seed=0):
    """The resolved recipe as text.

    Args:
        task: a `training.tasks.task.Task`.
        data: optional folder or file with the data.
        seed: int.

    Returns:
        Lines of text. Where the data cannot be opened, the line of steps says why.

    Example:

    >>> print(describe(open_task(recipe)))
    """
    recipe = task.recipe
    lines = [f"{key:32} {_shown(value)}" for key, value in recipe.items()]
    lines += [f"{'seed':32} {seed}", "", f"peak learning rate   {recipe.peak_learning_rate:g}"]
    lines.append(f"windows              {_shown(recipe.windows)}")
    try:
        inputs = open_inputs(task, data)
        info, steps, schedule = inputs.info, inputs.steps_per_epoch, recipe.schedule
        lines.append(
            f"steps                {steps:,} an epoch, {steps * schedule.epochs:,} in all, warm-up "
            f"{round(steps * schedule.warmup_epochs):,}; {inputs.source.count:,} {task.unit} to "
            f"learn from, {inputs.held_out.count:,} held out"
        )
    except (ValueError, ImportError, OSError) as error:
        info = task.assumed_info()
        lines.append(f"steps                unknown: {str(error).splitlines()[0]}")
    model = task.build_model(info)
    fixed, each = memory(task, model, info)
    part = recipe.data.batch_size // recipe.optimizer.accumulation
    lines += [
        f"parameters           {model.count_params():,} ({task.describe(info)})",
        f"memory, estimated    {fixed / MIB:,.0f} MiB for weights, gradients and optimizer, "
        f"{each / MIB:,.1f} MiB for each of the {task.unit}: "
        f"{(fixed + part * each) / MIB:,.0f} MiB for {part} on one device",
    ]
    return "\n".join(lines)


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
        lambda spec: tf.TensorSpec((batch, *spec.shape), spec.dtype), task.specs(info)
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
