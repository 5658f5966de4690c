"""Retrieval-augmented generation: prompts, answers and citations."""
