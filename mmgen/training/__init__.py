"""One recipe a file: data, loss, loop, checkpoints."""
