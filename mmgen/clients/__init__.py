"""A model behind the engine, as a caller sees it."""
