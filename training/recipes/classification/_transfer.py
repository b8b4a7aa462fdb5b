"""What all transfer recipes have in common: the paper's Table A1, column Transfer."""

from typing import Any

TRANSFER: dict[str, Any] = {
    "needs_weights": True,
    "batch_size": 768,
    "epochs": 1000,
    "warmup_epochs": 5,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "rate_batch": 768,
    "weight_decay": 1e-4,
    "drop_path_rate": 0.0,
    "erasing": 0.0,
}
