"""Where data come from: `open_source` opens what a recipe or `--data` names."""

from training.data.sources.dense_opening import open_detection_source, open_segmentation_source
from training.data.sources.opening import PREFIXES, SPECS, open_source, split_spec, why_not_here
from training.data.sources.source import Source

__all__ = [
    "PREFIXES",
    "SPECS",
    "Source",
    "open_detection_source",
    "open_segmentation_source",
    "open_source",
    "split_spec",
    "why_not_here",
]
