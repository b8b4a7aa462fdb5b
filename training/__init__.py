"""Training recipes for RegionViT, run from a clone: `python -m training.train --help`."""
