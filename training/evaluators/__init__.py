"""Metrics over a whole data set, one module a task."""
