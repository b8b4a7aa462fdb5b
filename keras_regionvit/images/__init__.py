"""Encoded images made into what a model takes."""
