"""What a language model is made of, and what happens inside it while it reads."""
