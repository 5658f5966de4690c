"""Decoder and encoder-decoder language models, and how they decode."""
