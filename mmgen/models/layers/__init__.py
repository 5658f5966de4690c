"""The parts of a transformer: attention, norms, positions, masks, KV cache."""
