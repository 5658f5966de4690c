"""Prompts: their syntax, the windows of tokens that an encoder reads, and words that a file gives their own vectors."""
