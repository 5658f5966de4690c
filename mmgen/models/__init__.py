"""Tensors in, tensors out. No threads, and no files but weights."""
