"""Families of causal language models that are a configuration of the one transformer, and at most one new layer kind each."""
