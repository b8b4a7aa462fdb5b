"""Makes saved/: a .keras, a .weights.h5 and their outputs, of the version that it is run with.

Every later version must load them: never make them again, add another folder if need be.
"""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from tests.support import saved_models

folder = pathlib.Path(__file__).with_name("saved_0_1_0")
folder.mkdir()
for name in ("classifier_any", "backbone_fixed"):
    model = saved_models.BUILDERS[name]()
    saved_models.perturb(model)
    model.save(folder / f"{name}.keras")
    model.save_weights(folder / f"{name}.weights.h5")
    arrays = saved_models.outputs(name, model)
    np.savez_compressed(folder / f"{name}.expected.npz", **arrays)
