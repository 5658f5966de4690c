"""Diffusion transformers, step by step: what their families have of their own, and what they share."""
