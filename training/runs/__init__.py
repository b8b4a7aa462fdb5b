"""A run: what to do, its folder, its sequence, its report."""
