"""What arguments must be: `kinds` of values, and those of `models` together."""
