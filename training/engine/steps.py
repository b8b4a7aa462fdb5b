"""One step of training, one of evaluation: compiled functions for any `tf.distribute` strategy.

Losses are sums, divided by the task's normaliser of the global batch, so that adding gradients up
over parts of a batch and over replicas gives the gradient of the whole batch.

B rows of a replica's batch.
"""

import contextlib

import keras
import tensorflow as tf

from training.tasks.task import rows_of_nest

FAR_APART = 87_178_291  # between the seeds of replicas; a prime, so that they do not meet soon
NORMALISER = "normaliser"  # its place among the sums of a step


def training_step(
    strategy,
    model,
    optimizer,
    loss,
    metrics=None,
    *,
    accumulation=1,
    clip_norm=0.0,
    average=(),
    ema=0.0,
    jit_compile=False,
):
    """Compiles a step: gradients of the batch, added up over replicas, clipped, applied.

    Args:
        strategy: a `tf.distribute.Strategy` in whose scope the rest was made.
        model: a built `keras.Model`, inputs to outputs.
        optimizer: a built Keras optimizer that does not clip by itself; wrapped in a
            `LossScaleOptimizer` for float16.
        loss: see `training.tasks.task.Task.loss`.
        metrics: optional, see `Task.metrics`.
        accumulation: in how many parts a replica goes through its share, which they must divide.
        clip_norm: greatest norm of the gradients together, 0 for none.
        average: variables that hold the moving average of the trainable ones, or none.
        ema: share of the average that a step keeps.
        jit_compile: whether XLA compiles the step; for a single replica only.

    Returns:
        A function `(inputs, targets) -> sums`, nests of tensors with B rows, or what
        `distribute_dataset` gives, to a dict of float32 scalars, added up over all replicas:
        "loss", its terms where there are several, the metrics, and "normaliser".

    Example:

    >>> sums = training_step(strategy, model, optimizer, task.loss)(inputs, targets)
    >>> sums["loss"] / sums["normaliser"]
    """
    replicas = strategy.num_replicas_in_sync
    variables = model.trainable_variables
    seeds = seeds_of(model) if replicas > 1 else []
    if replicas > 1:  # the step adds up itself, before it clips: Keras shall not do it again
        optimizer._all_reduce_sum_gradients = lambda pairs: pairs
    part = _Part(model, optimizer, loss, metrics, accumulation, replicas)

    def replica_step(inputs, targets):
        context = tf.distribute.get_replica_context()
        with own_draws(seeds, context.replica_id_in_sync_group):
            gradients, sums = part.of_share(inputs, targets)
        gradients = part.of_global_batch(context, gradients, sums)
        gradients = _clipped(gradients, clip_norm, optimizer)
        optimizer.apply(gradients, variables)
        for mean, variable in zip(average, variables, strict=bool(average)):
            mean.assign(ema * mean.value + (1 - ema) * variable.value)
        return sums

    return _compiled(strategy, replica_step, jit_compile)


def _compiled(strategy, replica_step, jit_compile):
    """The step of all replicas, from that of one."""
    if jit_compile:  # replicas meet in the step, which a function of its own would forbid
        replica_step = tf.function(replica_step, jit_compile=True, autograph=False)

    @tf.function(autograph=False)
    def step(inputs, targets):
        return _added(strategy, strategy.run(replica_step, args=(inputs, targets)))

    return step


def _clipped(gradients, clip_norm, optimizer):
    """Gradients whose norm together is `clip_norm` at most, 0 for any."""
    if not clip_norm:
        return gradients
    # float16: gradients are still multiplied by the scale of the loss
    limit = clip_norm * tf.cast(getattr(optimizer, "dynamic_scale", 1.0), tf.float32)
    return tf.clip_by_global_norm(gradients, limit)[0]


class _Part:
    """Gradients and sums of a part of a batch, a function of `(inputs, targets)`.

    The loss is divided before the backward pass, which keeps gradients at their scale: by the
    normaliser of the global batch where the shapes tell it, else by its rows. Then
    `normaliser_varies`, and gradients are still to be multiplied by `divisor` over the normaliser.

    Args:
        model, optimizer, loss, metrics: as `training_step` has them.
        accumulation: parts of a replica's share.
        replicas: shares of the global batch.
    """

    def __init__(self, model, optimizer, loss, metrics, accumulation, replicas):
        self.model, self.optimizer, self.loss, self.metrics = model, optimizer, loss, metrics
        self.accumulation, self.replicas = accumulation, replicas
        self.normaliser_varies, self.divisor = False, 1

    def __call__(self, inputs, targets):
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            total, sums, normaliser = self.sums(targets, outputs)
            self.normaliser_varies = not isinstance(normaliser, int)
            rows = rows_of_nest(targets) if self.normaliser_varies else normaliser
            self.divisor = rows * self.accumulation * self.replicas
            scaled = self.optimizer.scale_loss(total / tf.cast(self.divisor, total.dtype))
        # a variable that nobody reads, such as the position bias of a last encoder whose local
        # tokens go unread: its gradient is zero, not missing
        gradients = tape.gradient(
            scaled,
            [v.value for v in variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return gradients, sums

    def sums(self, targets, outputs):
        """`(loss, dict of sums, normaliser)`."""
        terms, normaliser = self.loss(targets, outputs)
        total = tf.add_n(list(terms.values()))
        sums = {"loss": total, **(terms if len(terms) > 1 else {})}
        if self.metrics is not None:
            sums |= self.metrics(targets, outputs)
        return total, {**sums, NORMALISER: tf.cast(normaliser, tf.float32)}, normaliser

    def of_share(self, inputs, targets):
        """Gradients and sums of a replica's share, with the memory of one part of it."""
        count = self.accumulation
        if count == 1:
            return self(inputs, targets)

        def split(x):
            # (B, ...) -> (count, B / count, ...)
            return tf.reshape(x, (count, x.shape[0] // count, *x.shape[1:]))

        inputs, targets = (tf.nest.map_structure(split, nest) for nest in (inputs, targets))

        def part(i):
            return (tf.nest.map_structure(lambda x: x[i], nest) for nest in (inputs, targets))

        def add(i, gradients, sums):
            more, counted = self(*part(i))
            gradients = [a + b for a, b in zip(gradients, more, strict=True)]
            return i + 1, gradients, {name: sums[name] + counted[name] for name in sums}

        zeros = [tf.zeros(v.shape, v.value.dtype) for v in self.model.trainable_variables]
        start = (tf.constant(0), zeros, {name: tf.zeros(()) for name in self.names(*part(0))})
        _, gradients, sums = tf.while_loop(
            lambda i, *_: i < count, add, start, maximum_iterations=count
        )
        return gradients, sums

    def of_global_batch(self, context, gradients, sums):
        """A replica's gradients added up over all, divided by what its parts did not know."""

        def add(values):
            several = self.replicas > 1
            return context.all_reduce(tf.distribute.ReduceOp.SUM, values) if several else values

        gradients = add(gradients)
        if not self.normaliser_varies:
            return gradients
        share = tf.math.divide_no_nan(tf.cast(self.divisor, tf.float32), add(sums[NORMALISER]))
        return [gradient * tf.cast(share, gradient.dtype) for gradient in gradients]

    def names(self, inputs, targets):
        """The names of the sums, found without a step: of outputs that are all zero."""

        def zeros(nest):
            return tf.nest.map_structure(
                lambda x: tf.zeros([n or 1 for n in x.shape], x.dtype), nest
            )

        inputs = tf.nest.map_structure(lambda x: keras.KerasTensor(x.shape, x.dtype.name), inputs)
        with tf.Graph().as_default():
            outputs = self.model.compute_output_spec(inputs, training=True)
            return list(self.sums(zeros(targets), zeros(outputs))[1])


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


def evaluation_step(strategy, model, evaluator):
    """Compiles the evaluation of a batch of any size.

    Args:
        strategy: a `tf.distribute.Strategy`.
        model: a `keras.Model`, inputs to outputs.
        evaluator: a `training.evaluators.evaluator.Evaluator`.

    Returns:
        A function `(inputs, targets, weights=None) -> (sums, rows)`, what the evaluator's `measure`
        gives for the global batch. `weights` (B,) is 1 for an example, 0 for what only fills the
        batch up.

    Example:

    >>> evaluator.update(*evaluation_step(strategy, model, evaluator)(inputs, targets))
    """

    def replica_step(inputs, targets, weights):
        outputs = model(inputs, training=False)
        if weights is None:
            weights = tf.ones(rows_of_nest(targets))
        return evaluator.measure(targets, outputs, weights)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(inputs, targets, weights=None):
        sums, rows = strategy.run(replica_step, args=(inputs, targets, weights))
        if strategy.num_replicas_in_sync > 1:
            rows = tf.nest.map_structure(lambda row: strategy.gather(row, axis=0), rows)
        return _added(strategy, sums), rows

    return step


def evaluate(step, evaluator, batches, each_batch=None):
    """Goes through `batches` once.

    Args:
        step: see `evaluation_step`.
        evaluator: the same as the step's.
        batches: pairs `(inputs, targets)`, the last may be smaller; or, with several replicas, the
            triples of `training.distribute.replicas.distribute_once`.
        each_batch: optional function that is called before each batch.

    Returns:
        The evaluator's metrics, a dict of floats.

    Raises:
        ValueError: there is no batch.

    Example:

    >>> evaluate(evaluation_step(strategy, model, evaluator), evaluator, batches)
    """
    evaluator.reset()
    for batch in batches:
        if each_batch is not None:
            each_batch()
        evaluator.update(*step(*batch))
    return evaluator.result()


def _added(strategy, sums):
    """Sums of replicas, a nest of per-replica values, added up."""
    add = lambda value: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)  # noqa: E731
    return tf.nest.map_structure(add, sums)
