"""Language models of transformers that are no family of ours: its layers, our scheduling and, where it can be, our KV cache."""
