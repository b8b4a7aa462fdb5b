"""What can be trained: the schema of a recipe, the catalogue, and a package for each task."""
