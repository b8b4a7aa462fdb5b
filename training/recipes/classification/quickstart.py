"""A small RegionViT on 5,000 images of Fashion-MNIST, on a laptop in minutes.

Command: python -m training.train --recipe quickstart
Hardware: two CPU cores, 3 GiB of memory.
Cost: 26 epochs of 5,000 images, 16 minutes on a machine that others kept busy; --smoke takes one.
Expected: 86.4% of the 1,000 held-out images with seed 0; a linear softmax on the same data reaches
83.3%. A seed gives the same model twice.
"""

from training.recipes.schema import Recipe

RECIPE = Recipe(
    "quickstart",
    data="fashion_mnist_6k",
    eval_split="test",
    classes=10,
    channels=1,
    image_size=28,
    frame=2,  # 32x32: 2x2 regions of 4x4 tokens, then one
    variant="",
    embed_dims=(64, 128),
    depths=(2, 2),
    window_size=(4, 4),
    epochs=26,
    batch_size=50,
    learning_rate=2e-3,
    rate_batch=50,
    schedule="step",
    warmup_epochs=2.6,
    floor_rate=0.0,
    decay="kernels",
    repeats=1,
    auto_augment="",
    color_jitter=0.0,
    mixup=0.0,
    cutmix=0.0,
    erasing=0.0,
    crop="shift",
    crop_ratio=1.0,
    mean=(73.21,),
    std=(90.40,),
    deterministic=True,
)
SMOKE = {"epochs": 2, "depths": (1, 1), "warmup_epochs": 0.2}


def finish(run):
    """What only this recipe shows: a linear model, pictures, the reloaded model's own words.

    Args:
        run: a `training.runs.run.Finished`.

    Returns:
        Figures to add to the report, a dict.
    """
    from training.tasks.showcase import finish

    return finish(run)
