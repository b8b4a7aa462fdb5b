"""A few images: the results that `training.predict` prints and writes as JSON."""

import tensorflow as tf

from training.data.sources import fashion_mnist
from training.prediction.files import named, negative, read, readable, why_unreadable
from training.prediction.predictor import BATCH, Predictor


def predict(model, images=(), samples=0, invert=False, checkpoint=None):
    """Predictions of image files and held-out images, see `training.predict.run`."""
    if not images and not samples:
        raise ValueError("name at least one image file, folder or pattern such as 'photos/*.jpg'")
    predictor = Predictor(model, checkpoint)
    results = [{"image": path} for path in named(images)]
    for begin in range(0, len(results), BATCH):
        part = results[begin : begin + BATCH]
        encoded = [readable(path, read(path)) for path in (result["image"] for result in part)]
        _answer(predictor, part, [negative(data) for data in encoded] if invert else encoded)
    for result in results:
        if not result["valid"]:
            limit = predictor.preprocessing and predictor.preprocessing.max_pixels
            result["error"] = why_unreadable(result["image"], limit)
    return results + (_held_out(predictor, samples) if samples else [])


def _held_out(predictor, count):
    """Results of held-out images of Fashion-MNIST, every class in turn."""
    _, held_out = fashion_mnist.load()
    names = fashion_mnist.CLASS_NAMES
    if tuple(predictor.labels) != names:
        raise ValueError(
            "--samples has images of Fashion-MNIST, but the model knows other classes, such as "
            f"{predictor.labels[0]!r}; name image files instead"
        )
    if count > len(held_out.images):
        raise ValueError(f"--samples must be at most {len(held_out.images)}, not {count}")
    results = []
    for i in fashion_mnist.first_of_each_class(held_out, count):
        label = names[held_out.labels[i]]
        results.append({"image": f"held-out image {i}", "index": int(i), "label": label})
    for begin in range(0, count, BATCH):
        part = results[begin : begin + BATCH]
        # a PNG keeps every pixel, so these take the way of all images
        pngs = [tf.io.encode_png(held_out.images[result["index"]]).numpy() for result in part]
        _answer(predictor, part, pngs)
    return results


def _answer(predictor, results, encoded):
    """Adds to results what the model says of their images."""
    for result, prediction in zip(results, predictor(encoded), strict=True):
        result["valid"] = prediction.valid
        if prediction.valid:
            result["prediction"] = prediction.labels[0]
            probabilities = prediction.probabilities.tolist()
            result["probabilities"] = dict(zip(predictor.labels, probabilities, strict=True))
