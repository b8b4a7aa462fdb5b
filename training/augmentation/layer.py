"""keras-cv's base layer with draws that follow from seeds in the input."""

import keras_cv
import tensorflow as tf

from training.augmentation.placement import unmoved

IMAGES, SEEDS = "images", "seeds"
# These would have to move with the pixels, see `SeededLayer.placement_of`.
REFUSED = ("bounding_boxes", "keypoints", "segmentation_masks")


class SeededLayer(keras_cv.layers.BaseImageAugmentationLayer):
    """An image augmentation layer whose draws follow from the seeds in its input.

    A subclass gives `draw(seed)`, which makes a transformation of one image from its seed,
    `augment_image(image, transformation)`, which carries it out, and, if it moves pixels,
    `placement_of(transformation, size)`, which says where they went. It computes in float32 unless
    told otherwise, also under a global mixed precision policy, where keras-cv's own layers fail.

    Call arguments:
        inputs: images (H, W, C) or (B, H, W, C) of any dtype, or a dict of
            - `"images"`: such images;
            - `"seeds"`: int32 (2,) for one image, (B, 2) for a batch. Without it, keras-cv's
              generator draws them, as in any keras-cv layer: other ones at each call;
            - any other key, passed on unchanged.

    Returns:
        What was given, the images float32 and augmented.

    Raises:
        ValueError: the dict holds boxes, keypoints or masks, which would no longer fit.

    Example:

    >>> layer = RandomFlip()
    >>> layer({"images": images, "seeds": seeds})["images"]  # the same for the same seeds
    >>> dataset.map(lambda image, label: (layer(image), label))
    """

    batchwise = False  # whether one seed (2,) serves the whole batch

    def __init__(self, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.auto_vectorize = False  # a branch not taken is not computed

    def __call__(self, inputs):
        """Takes NumPy arrays, too, also beside tensors, which Keras refuses."""
        if isinstance(inputs, dict):
            inputs = {key: tf.convert_to_tensor(value) for key, value in inputs.items()}
        return super().__call__(inputs)

    def call(self, inputs):
        """Adds seeds where there are none, and takes them away again."""
        plain = not isinstance(inputs, dict)
        inputs = {IMAGES: inputs} if plain else dict(inputs)
        refused = [key for key in REFUSED if key in inputs]
        if refused:
            raise ValueError(
                f"`inputs` of {self.__class__.__name__} may hold images, labels and seeds, for "
                f"nothing else is moved with the pixels. Received also: {', '.join(refused)}"
            )
        seeded = SEEDS in inputs
        if not seeded:
            images = tf.convert_to_tensor(inputs[IMAGES])
            many = images.shape.rank == 4 and not self.batchwise
            shape = tf.stack([tf.shape(images)[0], 2]) if many else (2,)
            inputs[SEEDS] = self._random_generator.uniform_full_int(shape, dtype=tf.int32)
        outputs = dict(super().call(inputs))
        if not seeded:
            del outputs[SEEDS]
        return outputs[IMAGES] if plain else outputs

    def draw(self, seed):
        """A transformation of one image from its seed int32 (2,); the seed itself by default."""
        return seed

    def placement_of(self, transformation, size):
        """Where a transformation puts the pixels of an image; where they were by default.

        Args:
            transformation: what `draw` gave.
            size: rows and columns of the image, ints or int32.

        Returns:
            A `Placement`.
        """
        return unmoved()

    def _augment(self, inputs):
        transformation = self.draw(inputs[SEEDS])
        return {**inputs, IMAGES: self.augment_image(inputs[IMAGES], transformation)}
