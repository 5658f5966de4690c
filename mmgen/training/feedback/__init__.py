"""Learning from what people say of answers."""
