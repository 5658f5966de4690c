"""Diffusion transformers in one file: FLUX, Stable Diffusion 3, Z-Image and Qwen-Image, with what they need beside."""
