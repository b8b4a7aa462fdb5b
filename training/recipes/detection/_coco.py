"""What the recipes on COCO share: the paper's appendix A.2, and the official settings."""

from training.recipes.dense import NOT_DENSE, from_imagenet
from training.recipes.detection import Detection, DetectionRecipe
from training.recipes.sections import Augment, Data, Evaluate, Optimizer, Schedule

MOST = 100  # objects of an image of COCO 2017: 93


def coco(
    name, *, canvas, steps, epochs, milestones, variant="small", peg=False, classes=80, **detection
):
    """A recipe on COCO.

    Args:
        name: the recipe's.
        canvas: shorter and longer side.
        steps: of the training.
        epochs: how many evaluations there are.
        milestones: steps at which the rate falls to a tenth.
        variant: of the backbone.
        peg: whether it has position encoding generators.
        classes: that the data have.
        **detection: more settings of the section `detection`.
    """
    return DetectionRecipe(
        name,
        Data("coco", batch_size=16),
        from_imagenet(variant, peg),
        Augment(**NOT_DENSE, color_jitter=0.0, flip=0.5),
        Optimizer(learning_rate=1e-4, base_batch_size=16, weight_decay=0.05, clip_norm=0.0),
        Schedule(
            epochs=epochs,
            steps=steps,
            curve="steps",
            milestones=tuple(step / steps for step in milestones),
            every="step",
            warmup_epochs=0,
            warmup_steps=1000,
            warmup_learning_rate=1e-7,
        ),
        Evaluate(crop_ratio=1.0),
        detection=Detection(classes=classes, max_objects=MOST, canvas=canvas, **detection),
    )
