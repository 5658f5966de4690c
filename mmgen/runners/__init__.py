"""A model taking turns: one forward pass for many jobs a step."""
