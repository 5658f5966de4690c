"""Words as the word index keeps them: one way from text to terms for passages and queries of every script and language."""
