"""One task a file, each a straight line. Order between stages lives here and nowhere else."""
