"""Recipes of image classification, one module each."""
