"""Encoded images made into what a model takes: one preprocessing for evaluation and serving."""
