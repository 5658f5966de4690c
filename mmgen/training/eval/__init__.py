"""Metrics and samples of trained models."""
