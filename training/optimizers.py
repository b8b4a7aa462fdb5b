"""Optimizers, with the two choices of what decays."""

import keras
from keras import ops

DECAYS = ("official", "kernels")


def no_decay_variables(model, decay="official"):
    """The trainable variables of `model` that weight decay leaves alone.

    Args:
        model: a built `keras.Model`.
        decay: what decays: "official" is all but biases and parameters of one dimension, as in
            the release (position bias tables decay); "kernels" is matrices and kernels only.

    Returns:
        A list of `keras.Variable`.

    Raises:
        ValueError: `decay` is neither.

    Example:

    >>> len(no_decay_variables(model, "official")) < len(no_decay_variables(model, "kernels"))
    True
    """
    from keras_regionvit.checks.kinds import choice, refuse  # here: its package takes seconds

    choice("decay", decay, DECAYS)
    if not isinstance(model, keras.Model) or not model.built:
        refuse("model", "a built keras.Model", model)
    names = ("bias",) if decay == "official" else ("bias", "position_bias_table")
    return [v for v in model.trainable_variables if len(v.shape) < 2 or v.name in names]


def adamw(model, learning_rate, weight_decay, decay="official", **kwargs):
    """AdamW with timm's settings: betas 0.9 and 0.999, epsilon 1e-8.

    Args:
        model: a built `keras.Model`.
        learning_rate: a number or a `LearningRateSchedule`.
        weight_decay: decoupled decay, times the learning rate.
        decay: what decays, see `no_decay_variables`.
        **kwargs: more arguments of `keras.optimizers.AdamW`, such as `global_clipnorm`.

    Returns:
        An `AdamW`.

    Raises:
        ValueError: `decay` is unknown, or another argument is out of range.

    Example:

    >>> model.compile(adamw(model, 1e-3, 0.05), "categorical_crossentropy")
    """
    no_decay = no_decay_variables(model, decay)
    rate, weight_decay = _checked(learning_rate, weight_decay)
    optimizer = AdamW(rate, weight_decay=weight_decay, epsilon=1e-8, **kwargs)
    optimizer.exclude_from_weight_decay(var_list=no_decay)
    return optimizer


def sgd(
    model, learning_rate, weight_decay, momentum=0.9, nesterov=True, decay="official", **kwargs
):
    """SGD with momentum as torch and timm have it, for the transfer recipes.

    Args:
        model: a built `keras.Model`.
        learning_rate: a number or a `LearningRateSchedule`.
        weight_decay: L2 penalty, added to the gradient as `weight_decay * variable`.
        momentum: share of the velocity that is kept.
        nesterov: whether to look ahead, as timm's "sgd" does.
        decay: what decays, see `no_decay_variables`.
        **kwargs: more arguments of `keras.optimizers.Optimizer`, such as `global_clipnorm`.

    Returns:
        A `MomentumSGD`.

    Raises:
        ValueError: `decay` is unknown, or another argument is out of range.

    Example:

    >>> model.compile(sgd(model, 1e-2, 1e-4), "categorical_crossentropy")
    """
    no_decay = no_decay_variables(model, decay)
    learning_rate, l2 = _checked(learning_rate, weight_decay)
    optimizer = MomentumSGD(learning_rate, momentum, nesterov, l2=l2, **kwargs)
    optimizer.exclude_from_weight_decay(var_list=no_decay)
    return optimizer


def _checked(learning_rate, weight_decay):
    """Both as floats; a schedule, or a function of the step, stays as it is."""
    from keras_regionvit.checks.kinds import amount

    if not callable(learning_rate):
        learning_rate = amount("learning_rate", learning_rate)
    return learning_rate, amount("weight_decay", weight_decay)


class _KeepsNoDecay(keras.optimizers.Optimizer):
    """Saves what `exclude_from_weight_decay` is told, which Keras leaves out of the config."""

    _no_decay_paths, _no_decay_names = frozenset[str](), frozenset[str]()

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Keeps weight decay from variables as Keras does, also after saving and loading."""
        super().exclude_from_weight_decay(var_list, var_names)
        self._no_decay_paths = frozenset(variable.path for variable in var_list or ())
        self._no_decay_names = frozenset(var_names or ())

    def build(self, variables):
        """Finds the variables of a loaded model, which are new objects, by their paths."""
        if not self.built and self._no_decay_paths:
            found = [v for v in variables if v.path in self._no_decay_paths]
            self.exclude_from_weight_decay(found, self._no_decay_names)
        super().build(variables)

    def get_config(self):
        """The arguments of the constructor, and under "no_decay" the variables left alone."""
        no_decay = {"paths": sorted(self._no_decay_paths), "names": sorted(self._no_decay_names)}
        return {**super().get_config(), "no_decay": no_decay}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` described; earlier versions wrote no "no_decay"."""
        arguments = {key: value for key, value in config.items() if key != "no_decay"}
        no_decay = config.get("no_decay", {"paths": (), "names": ()})
        optimizer = super().from_config(arguments, custom_objects)
        optimizer.exclude_from_weight_decay(var_names=no_decay["names"])
        optimizer._no_decay_paths = frozenset(no_decay["paths"])
        return optimizer


@keras.saving.register_keras_serializable(package="regionvit_training")
class AdamW(_KeepsNoDecay, keras.optimizers.AdamW):
    """Keras' AdamW in less time on TensorFlow; on other backends it is Keras' own.

    Keras writes each variable's update as some fifty operations, which read the weights again and
    again and, with hundreds of variables, make up more than half of a training step's graph.
    Here they are TensorFlow's one for Adam, and the powers of the betas are computed once a step.
    Arguments, results and saved state are those of `keras.optimizers.AdamW`.

    Example:

    >>> model.compile(AdamW(1e-3, weight_decay=0.05), "categorical_crossentropy")
    """

    def _apply_weight_decay(self, variables):
        if keras.backend.backend() != "tensorflow":
            super()._apply_weight_decay(variables)  # else `update_step` does it

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        if keras.backend.backend() == "tensorflow":
            step = ops.cast(self.iterations + 1, "float32")
            powers = ops.power(self.beta_1, step), ops.power(self.beta_2, step)
            rate = ops.cast(learning_rate, "float32")
            decay = self.weight_decay or 0.0
            shared = [rate, 1 - rate * decay, *powers, self.beta_1, self.beta_2, self.epsilon]
            # goes where the rate does: to every device
            learning_rate = tuple(ops.convert_to_tensor(x, "float32") for x in shared)
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable; on TensorFlow `learning_rate` is the seven numbers of the step."""
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        numbers = [tf.cast(x, variable.dtype) for x in learning_rate]
        rate, kept, power_1, power_2, beta_1, beta_2, epsilon = numbers
        if self.weight_decay and self._use_weight_decay(variable):
            variable.assign(variable * kept)
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, rate)
            return
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable(package="regionvit_training")
class MomentumSGD(_KeepsNoDecay):
    """SGD whose velocity holds gradients, so that a schedule acts on all of it at once.

    `velocity = momentum * velocity + gradient`, `variable -= learning_rate * velocity`; Keras'
    own SGD multiplies gradients by the rate of their step and decays outside of the velocity.

    Args:
        learning_rate: a number or a `LearningRateSchedule`.
        momentum: share of the velocity that is kept.
        nesterov: whether to step along `gradient + momentum * velocity`.
        l2: what is added to a gradient, times the variable.
        name: name of the optimizer.
        **kwargs: arguments of `keras.optimizers.Optimizer`.

    Example:

    >>> MomentumSGD(0.1, momentum=0.9, l2=1e-4)
    """

    def __init__(
        self, learning_rate=0.01, momentum=0.9, nesterov=False, l2=0.0, name="sgd", **kwargs
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        from keras_regionvit.checks.kinds import amount, flag, rate

        self.momentum, self.l2 = rate("momentum", momentum), amount("l2", l2)
        self.nesterov = flag("nesterov", nesterov)

    def build(self, variables):
        """Creates a velocity for each variable."""
        if self.built:
            return
        super().build(variables)
        self.velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable."""
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        if self.l2 and self._use_weight_decay(variable):
            gradient = gradient + self.l2 * variable
        velocity = self.velocities[self._get_variable_index(variable)]
        moved = self.momentum * velocity + gradient
        self.assign(velocity, moved)
        step = gradient + self.momentum * moved if self.nesterov else moved
        self.assign_sub(variable, rate * step)

    def get_config(self):
        """The arguments of the constructor."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "l2": self.l2,
        }
