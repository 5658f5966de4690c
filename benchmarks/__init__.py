"""Measurements, run by hand: each file says how. A package, as another one of this name is installed with Opacus."""
