"""Vision Transformers, CLIP and their preprocessing."""
