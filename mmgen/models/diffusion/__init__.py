"""Denoisers, solvers, autoencoders and conditioning."""
