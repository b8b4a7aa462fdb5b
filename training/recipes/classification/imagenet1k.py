"""RegionViT on ImageNet-1K from scratch, as the paper trained it.

Command: python -m training.train --recipe imagenet1k --set model.variant=small
Hardware: the paper used 32 GPUs; `--set data.batch_size=512` (the rate follows) or
`--set optimizer.accumulation=8` where memory is short.
Cost: 300 epochs of 1,281,167 images; on one data-centre GPU weeks.
Expected: top-1 of the paper's Table 3: tiny 80.4, tiny_plus 81.5, small 82.6, small_plus 83.3,
medium 83.1, medium_plus 83.4, base 83.2, base_plus 83.8. Not yet run here.
Source: Table A1, column IN1K; 5e-4 x batch / 512 is its 0.004 at 4,096 images. Tiny variants do
without instance repetition. The floor of 1e-5, clipping (none) and what decays are the release's;
the rate changes by epochs, as timm has it.
"""

from training.recipes.classification import ClassificationRecipe
from training.recipes.sections import Data

RECIPE = ClassificationRecipe("imagenet1k", Data("tfds:imagenet2012"))
