"""One training run a file."""
