"""One step of training, one of evaluation: compiled functions for any `tf.distribute` strategy.

Losses are sums over images divided by the size of the global batch, so that adding gradients up
over parts of a batch and over replicas gives the gradient of the whole batch.
"""

import contextlib

import keras
import tensorflow as tf

FAR_APART = 87_178_291  # between the seeds of replicas; a prime, so that they do not meet soon


def image_losses(multi_label=False, label_smoothing=0.0):
    """The loss of each image.

    Args:
        multi_label: whether labels are independent of each other; else they sum to one.
        label_smoothing: share of a label that is spread over all classes.

    Returns:
        A function `(labels (B, classes), probabilities (B, classes)) -> float32 (B,)`.

    Example:

    >>> image_losses(label_smoothing=0.1)(labels, model(images))
    """
    kind = keras.losses.BinaryCrossentropy if multi_label else keras.losses.CategoricalCrossentropy
    return kind(label_smoothing=label_smoothing, reduction="none", dtype="float32")


def right_answers(labels, probabilities, multi_label=False):
    """How much of each image is right: 0 or 1, or the share of the labels. Float32 (B,)."""
    if multi_label:
        right = tf.equal(probabilities > 0.5, labels > 0.5)
        return tf.reduce_mean(tf.cast(right, tf.float32), axis=-1)
    return tf.cast(tf.equal(tf.argmax(labels, -1), tf.argmax(probabilities, -1)), tf.float32)


def _any(truth):
    """Whether any of a row is true, as float32: (B, n) to (B,)."""
    return tf.cast(tf.reduce_any(truth, axis=-1), tf.float32)


def training_step(
    strategy,
    model,
    optimizer,
    losses,
    *,
    batch_size,
    accumulation=1,
    clip_norm=0.0,
    average=(),
    ema=0.0,
    multi_label=False,
    jit_compile=False,
):
    """Compiles a step: gradients of the batch, added up over replicas, clipped, applied.

    Args:
        strategy: a `tf.distribute.Strategy` in whose scope the rest was made.
        model: a built `keras.Model`, images to probabilities.
        optimizer: a built Keras optimizer that does not clip by itself; wrapped in a
            `LossScaleOptimizer` for float16.
        losses: see `image_losses`.
        batch_size: images of the global batch, a multiple of replicas times `accumulation`.
        accumulation: in how many parts a replica goes through its share.
        clip_norm: greatest norm of the gradients together, 0 for none.
        average: variables that hold the moving average of the trainable ones, or none.
        ema: share of the average that a step keeps.
        multi_label: see `image_losses`.
        jit_compile: whether XLA compiles the step; for a single replica only.

    Returns:
        A function `(images (B, H, W, channels), labels (B, classes)) -> (3,)` float32: the sum of
        the losses, the number of right answers, the number of images, over all replicas. With
        several replicas it takes what `training.distribute.replicas.spread` gives.

    Example:

    >>> step = training_step(strategy, model, optimizer, image_losses(), batch_size=64)
    >>> loss, right, count = step(images, labels)
    """
    replicas = strategy.num_replicas_in_sync
    variables = model.trainable_variables
    seeds = seeds_of(model) if replicas > 1 else []
    if replicas > 1:  # the step adds up itself, before it clips: Keras shall not do it again
        optimizer._all_reduce_sum_gradients = lambda pairs: pairs

    def gradients_of(images, labels):
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            each = losses(labels, probabilities)
            total = tf.reduce_sum(each)
            scaled = optimizer.scale_loss(total / batch_size)
        # nobody reads the last encoder's position bias: its gradient is zero, not missing
        gradients = tape.gradient(
            scaled,
            [v.value for v in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        right = tf.reduce_sum(right_answers(labels, probabilities, multi_label))
        return gradients, tf.stack([total, right, tf.cast(tf.shape(images)[0], tf.float32)])

    def in_parts(images, labels):
        """The same, with the memory of one part."""
        size = images.shape[0] // accumulation
        images = tf.reshape(images, (accumulation, size, *images.shape[1:]))
        labels = tf.reshape(labels, (accumulation, size, *labels.shape[1:]))

        def add(i, gradients, sums):
            more, counted = gradients_of(images[i], labels[i])
            return i + 1, [a + b for a, b in zip(gradients, more, strict=True)], sums + counted

        zeros = [tf.zeros(v.shape, v.value.dtype) for v in variables]
        start = (tf.constant(0), zeros, tf.zeros(3))
        _, gradients, sums = tf.while_loop(
            lambda i, *_: i < accumulation, add, start, maximum_iterations=accumulation
        )
        return gradients, sums

    def replica_step(images, labels):
        context = tf.distribute.get_replica_context()
        with own_draws(seeds, context.replica_id_in_sync_group):
            gradients, sums = (in_parts if accumulation > 1 else gradients_of)(images, labels)
        if replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if clip_norm:
            # float16: gradients are still multiplied by the scale of the loss
            limit = clip_norm * tf.cast(getattr(optimizer, "dynamic_scale", 1.0), tf.float32)
            gradients, _ = tf.clip_by_global_norm(gradients, limit)
        optimizer.apply(gradients, variables)
        for mean, variable in zip(average, variables, strict=bool(average)):
            mean.assign(ema * mean.value + (1 - ema) * variable.value)
        return sums

    if jit_compile:  # replicas meet in the step, which a function of its own would forbid
        replica_step = tf.function(replica_step, jit_compile=True, autograph=False)

    @tf.function(autograph=False)
    def step(images, labels):
        sums = strategy.run(replica_step, args=(images, labels))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    return step


def seeds_of(model):
    """The states of a model's random numbers: what dropout and stochastic depth draw from."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


@contextlib.contextmanager
def own_draws(seeds, replica):
    """Within the block each replica draws its own random numbers, the first as one alone does.

    After it the states are alike on all replicas again, so that a checkpoint holds one of them and
    goes on with any number of replicas.

    Args:
        seeds: see `seeds_of`; each replica has its own copy of them.
        replica: number of the replica, int or scalar tensor.

    Example:

    >>> with own_draws(seeds_of(model), context.replica_id_in_sync_group):
    ...     model(images, training=True)
    """
    for seed in seeds:  # (seed, draws so far)
        apart = tf.cast(replica, seed.value.dtype) * FAR_APART
        seed.assign(seed.value + tf.stack([apart, tf.zeros_like(apart)]))
    yield
    for seed in seeds:
        apart = tf.cast(replica, seed.value.dtype) * FAR_APART
        seed.assign(seed.value - tf.stack([apart, tf.zeros_like(apart)]))


def evaluation_step(strategy, model, losses, *, multi_label=False):
    """Compiles the evaluation of a batch of any size.

    Args:
        strategy: a `tf.distribute.Strategy`.
        model: a `keras.Model`, images to probabilities.
        losses: see `image_losses`; without label smoothing, as usual in evaluation.
        multi_label: see `image_losses`. Else an image with several labels, as ImageNet ReaL has
            them, is right if its answer is any of them, and one with none is left out.

    Returns:
        A function `(images, labels, weights=None) -> (sums, rows)`: float32 (4,) with the sum of
        the losses, the numbers of right first answers, of right ones among the first five, and of
        images, over all replicas. `weights` (B,) is 1 for an image, 0 for what only fills the
        batch up. `rows` is `(probabilities, labels, weights)` of the global batch for multi-label
        data, else `()`.

    Example:

    >>> sums, _ = evaluation_step(strategy, model, image_losses())(images, labels)
    """

    def replica_step(images, labels, weights):
        probabilities = tf.cast(model(images, training=False), tf.float32)
        if weights is None:
            weights = tf.ones(tf.shape(labels)[0])
        if multi_label:
            first = five = right_answers(labels, probabilities, multi_label)
        else:
            best = tf.math.top_k(probabilities, min(5, probabilities.shape[-1])).indices
            right = tf.gather(labels, best, batch_dims=1) > 0.5
            first, five = tf.cast(right[:, 0], tf.float32), _any(right)
            weights *= _any(labels > 0.5)
            labels = tf.math.divide_no_nan(labels, tf.reduce_sum(labels, -1, keepdims=True))
        each = [losses(labels, probabilities), first, five, tf.ones_like(first)]
        sums = tf.stack([tf.reduce_sum(tf.where(weights > 0, x, 0)) for x in each])
        return sums, (probabilities, labels, weights) if multi_label else ()

    @tf.function(autograph=False, reduce_retracing=True)
    def step(images, labels, weights=None):
        sums, rows = strategy.run(replica_step, args=(images, labels, weights))
        if strategy.num_replicas_in_sync > 1:
            rows = tuple(strategy.gather(row, axis=0) for row in rows)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None), rows

    return step
