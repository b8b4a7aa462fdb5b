"""Checkpoints: reading, converting, loading."""
