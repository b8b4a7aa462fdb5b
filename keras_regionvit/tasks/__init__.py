"""What is built on a backbone: one module a task."""
