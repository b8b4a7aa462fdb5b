"""What a model without any idea of images reaches: the figure to beat."""

import keras
import numpy as np

from training.schedules import WarmupCosine


def linear_softmax(training, held_out, *, classes, l2=3e-3, steps=600, batch_size=500):
    """Accuracy of softmax regression on standardised pixels, trained until it stands still.

    Args:
        training: a pair `(images (N, H, W, channels), labels (N,))` to learn from.
        held_out: such a pair to be judged on.
        classes: number of classes.
        l2: strength of the penalty on the squared weights.
        steps: length of the training.
        batch_size: images a step.

    Returns:
        The share of `held_out` that is classified rightly, a float.

    Example:

    >>> linear_softmax((images, labels), (new_images, new_labels), classes=10)
    """
    images, labels = training
    mean, deviation = images.mean(), images.std()

    def pixels(x):
        return ((x.reshape(len(x), -1) - mean) / deviation).astype("float32")

    model = keras.Sequential(
        [
            keras.Input((images[0].size,)),
            keras.layers.Dense(
                classes,
                activation="softmax",
                kernel_initializer="zeros",
                kernel_regularizer=keras.regularizers.L2(l2),
            ),
        ]
    )
    batch_size = min(batch_size, len(images))
    epochs = -(-steps * batch_size // len(images))
    model.compile(
        keras.optimizers.Adam(WarmupCosine(3e-3, epochs * -(-len(images) // batch_size))),
        "sparse_categorical_crossentropy",
    )
    model.fit(pixels(images), labels, batch_size=batch_size, epochs=epochs, verbose=0)
    images, labels = held_out
    predictions = model.predict(pixels(images), batch_size=1000, verbose=0).argmax(axis=1)
    return float(np.mean(predictions == labels))
