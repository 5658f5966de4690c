"""Jobs, scheduling and memory of one device that all models share. Torch-free."""
