"""One draw for all frames of a clip."""

import tensorflow as tf

from training.augmentation.placement import Placement


def each_frame(transform):
    """A transform of one image made one of a clip, whose frames all take the same draw.

    Args:
        transform: a function `(image, seed) -> (image, placement)`, such as what
            `image_augmentation` gives, or `training_image` with its settings.

    Returns:
        A function `(frames (T, ...), seed int32 (2,)) -> (float32 (T, H, W, C), placement)`. Frames
        have one size; the placement is that of each of them.

    Example:

    >>> crop = functools.partial(training_image, size=224, channels=3, crop="random_resized")
    >>> frames, placement = each_frame(crop)(encoded_frames, seed)
    """

    def transform_frames(frames, seed):
        frames, placements = tf.map_fn(
            lambda frame: transform(frame, seed),
            tf.convert_to_tensor(frames),
            fn_output_signature=(tf.float32, Placement(tf.float32, tf.int32)),
        )
        return frames, tf.nest.map_structure(lambda rows: rows[0], placements)

    return transform_frames
