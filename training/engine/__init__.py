"""The loop, its step and its state; it knows nests of tensors and no task."""
