"""Checkpoint files to modules and back: safetensors and tables of tensor names."""
