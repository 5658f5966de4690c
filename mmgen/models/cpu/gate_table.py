"""Activations x s(x) as encoder.c computes them, where s(-x) = 1 - s(x): a parabola for each of 32 pieces of s(-x)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from mmgen.models.cpu.structs import GateTable

PIECES = 32


def _sigmoid_below(x: float) -> float:
    return 1 / (1 + math.exp(x))


CURVES: dict[str, tuple[Callable[[float], float], float]] = {
    "gelu": (lambda x: math.erfc(x / math.sqrt(2)) / 2, 4.5),
    "gelu_tanh": (lambda x: _sigmoid_below(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)), 4.5),
    "quick_gelu": (lambda x: _sigmoid_below(1.702 * x), 8.0),
    "relu": (lambda x: 0.0, 1.0),
}
"""s(-x) for x >= 0, and from where on it counts as it is there: 3e-6 at most."""


@lru_cache(maxsize=len(CURVES))
def gate_table(activation: str) -> GateTable:
    """Of one of CURVES. A piece is the parabola through three Chebyshev nodes; the activation is off by 5e-5 at most."""
    curve, reach = CURVES[activation]
    table, pieces = GateTable(), (PIECES - 0.6) / reach
    for number in range(PIECES):
        middle, node = number / pieces, math.cos(math.pi / 6) / (2 * pieces)
        below, value, above = (curve(middle + off) for off in (-node, 0, node))
        table.value[number], table.slope[number] = value, (above - below) / (2 * node)
        table.square[number] = (above + below - 2 * value) / (2 * node**2)
    table.pieces, table.reach = pieces, reach
    return table
