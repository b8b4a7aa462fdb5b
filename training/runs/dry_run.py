"""What a recipe would do: figures, parameters, steps and memory, without a step of training."""

import math

import tensorflow as tf

from training.data.inputs import open_inputs
from training.engine.steps import image_losses
from training.tasks.classification import build_model

MIB = 2**20
VIEWS = {"Reshape", "Identity", "Squeeze", "ExpandDims", "StopGradient"}


def describe(recipe, data=None, seed=0):
    """The resolved recipe as text.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        data: optional folder or file with the images.
        seed: int.

    Returns:
        Lines of text. Where the images cannot be opened, the line of steps says why.

    Example:

    >>> print(describe(recipe))
    """
    lines = [f"{key:20} {_shown(value)}" for key, value in recipe.to_dict().items()]
    lines += [f"{'seed':20} {seed}", "", f"peak learning rate   {recipe.peak_rate:g}"]
    lines.append(f"windows              {_shown(recipe.windows)}")
    classes = recipe.classes
    try:
        inputs = open_inputs(recipe, data)
        classes, steps = inputs.classes, inputs.steps_per_epoch
        lines.append(
            f"steps                {steps:,} an epoch, {steps * recipe.epochs:,} in all, warm-up "
            f"{round(steps * recipe.warmup_epochs):,}; {inputs.source.count:,} images to learn "
            f"from, {inputs.held_out.count:,} held out"
        )
    except (ValueError, ImportError, OSError) as error:
        lines.append(f"steps                unknown: {str(error).splitlines()[0]}")
    model = build_model(recipe, classes or 1000)
    fixed, each = memory(recipe, model)
    part = recipe.batch_size // recipe.accumulation
    lines += [
        f"parameters           {model.count_params():,}" + ("" if classes else " (1000 classes)"),
        f"memory, estimated    {fixed / MIB:,.0f} MiB for weights, gradients and optimizer, "
        f"{each / MIB:,.1f} MiB an image: {(fixed + part * each) / MIB:,.0f} MiB for {part} images "
        "on one device",
    ]
    return "\n".join(lines)


def memory(recipe, model):
    """How much memory training needs, estimated from the traced graph.

    Args:
        recipe: a `training.recipes.schema.Recipe`.
        model: its model.

    Returns:
        `(fixed, each)`: bytes for weights, gradients, optimizer and average; and bytes an image
        for what the backward pass reads of the forward pass. What a device keeps in reserve
        comes on top.

    Example:

    >>> fixed, each = memory(recipe, model)
    """
    copies = 2 + (2 if recipe.optimizer == "adamw" else 1) + bool(recipe.ema)
    copies += recipe.accumulation > 1
    losses = image_losses(recipe.multi_label)
    batch = 2  # one image would make axes of one, which other code paths may treat apart

    def backward(images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(losses(labels, model(images, training=True)))
        variables = [v.value for v in model.trainable_variables]
        return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    shapes = [tf.TensorSpec((batch, *model.input.shape[1:])),
              tf.TensorSpec((batch, model.output.shape[-1]))]  # fmt: skip
    graph = tf.function(backward, autograph=False).get_concrete_function(*shapes).graph
    kept = {}
    for operation in graph.get_operations():
        if not operation.name.startswith("gradient_tape/"):
            continue
        for tensor in operation.inputs:
            source = tensor
            while source.op.type in VIEWS:
                source = source.op.inputs[0]
            size = source.shape.num_elements()
            reads_weight = source.op.type in ("ReadVariableOp", "Placeholder", "Const", "Cast")
            if source.op.name.startswith("gradient_tape/") or reads_weight or not size:
                continue
            kept[source.ref()] = size * source.dtype.size
    weights = sum(math.prod(v.shape) * 4 for v in model.trainable_variables)
    return copies * weights, sum(kept.values()) / batch


def _shown(value):
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
