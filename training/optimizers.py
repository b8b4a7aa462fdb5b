"""Optimizers."""

import keras


def adamw(model, learning_rate, weight_decay):
    """AdamW that decays matrices and kernels, but no norm, bias or position bias.

    Args:
        model: a built `keras.Model`.
        learning_rate: a number or a `LearningRateSchedule`.
        weight_decay: decoupled decay, times the learning rate.

    Returns:
        A `keras.optimizers.AdamW`.

    Example:

    >>> model.compile(adamw(model, 1e-3, 0.05), "categorical_crossentropy")
    """
    optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(
        var_list=[
            weight
            for weight in model.trainable_variables
            if len(weight.shape) < 2 or weight.name == "position_bias_table"
        ]
    )
    return optimizer
