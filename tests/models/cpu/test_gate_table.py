"""Activations in pieces are the activations."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.cpu.gate_table import CURVES, PIECES, gate_table

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
}


@pytest.mark.parametrize("name", CURVES)
def test_near_to_the_function(name: str) -> None:
    table, x = gate_table(name), torch.linspace(-12, 12, 4001, dtype=torch.float64)
    near = x.abs().clamp(max=table.reach)
    piece = (near * table.pieces).round().long()
    assert piece.max() == PIECES - 1
    off = near - piece / table.pieces
    value, slope, square = (torch.tensor(list(part))[piece] for part in (table.value, table.slope, table.square))
    found = x.clamp(min=0) - x.abs() * (value + off * (slope + off * square))
    assert (found - ACTIVATIONS[name](x)).abs().max() < 5e-5
