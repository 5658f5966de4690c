"""Keys and values in blocks of a fixed size, shared by all texts that a model reads."""
