"""Compiled kernels and packed products for CPUs."""
