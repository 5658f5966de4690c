"""What a quantum takes before any was measured. Knows counts of weights; not what they compute."""

from __future__ import annotations

import torch

CPU, GPU = (5e10, 1e10), (5e13, 2e12)
"""Multiplications and additions a second, and bytes a second that memory gives: two cores, and a card of a data centre."""


def milliseconds(used: float, weights: int, device: torch.device) -> float:
    """`used`: weights, counted once for each time they are used. Either computing or reading them is the longer."""
    computing, reading = CPU if device.type == "cpu" else GPU
    return 1000 * max(2 * used / computing, 4 * weights / reading)
