"""Data sets, and batches made of them."""
