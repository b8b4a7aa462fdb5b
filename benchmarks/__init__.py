"""What is measured, against whom; each file is a command that prints a table."""
