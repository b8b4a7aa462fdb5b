"""Predictions of exported models."""
