"""Weights in fewer bits: int8 and int4."""
