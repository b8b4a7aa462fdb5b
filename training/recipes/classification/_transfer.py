"""What all transfer recipes have in common: the paper's Table A1, column Transfer."""

from training.recipes.classification import Classification, ClassificationRecipe
from training.recipes.sections import Augment, Data, Model, Optimizer, Schedule


def transfer(name, source, classes, multi_label=False):
    """A recipe that goes on from a model trained on ImageNet.

    Args:
        name: the recipe's name.
        source: where the images come from; the part to be judged on is "test".
        classes: number of classes.
        multi_label: whether an image may belong to several classes, or none.

    Returns:
        A `ClassificationRecipe`.

    Example:

    >>> RECIPE = transfer("transfer_cifar10", "tfds:cifar10", classes=10)
    """
    return ClassificationRecipe(
        name,
        Data(source, eval_split="test", batch_size=768),
        Model(needs_weights=True, drop_path_rate=0.0),
        Augment(erasing=0.0),
        Optimizer("sgd", learning_rate=0.01, base_batch_size=768, weight_decay=1e-4),
        Schedule(epochs=1000, warmup_epochs=5),
        classification=Classification(classes, multi_label),
    )
