"""Classifier-free guidance over a batch in which some rows are guided and some are not. Knows outputs, not prompts."""

from __future__ import annotations

import torch
from torch import Tensor


def guide(outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
    """`u + s (c - u)`; Ho and Salimans 2022, eq. 6 with s = 1 + w. Then guidance rescale; Lin et al. 2023, eq. 15 and 16.

    Args:
        outputs: (B + G, ...): the model's outputs with the prompt for all B rows, then without it for the G guided ones.
        guided: (G,) which of the B rows are guided, in that order.
        scale: (B,) guidance scale; without effect on rows that are not guided.
        rescale: (B,) in [0, 1]; 0: leave the contrast as it is.

    Returns: (B, ...).
    """
    batch = len(outputs) - len(guided)
    conditional = outputs[:batch]
    unconditional = conditional.clone()
    unconditional[guided] = outputs[batch:]
    shape = (-1, *[1] * (outputs.dim() - 1))
    scale, rescale = scale.to(outputs).reshape(shape), rescale.to(outputs).reshape(shape)
    mixed = unconditional + scale * (conditional - unconditional)
    contrast = (_deviation(conditional) / _deviation(mixed).clamp(min=1e-12)).to(mixed.dtype)
    return torch.where(rescale > 0, rescale * (mixed * contrast) + (1 - rescale) * mixed, mixed)


def _deviation(rows: Tensor) -> Tensor:
    """Standard deviation of each row, in float64; by itself, as torch's order of summation depends on the batch."""
    return torch.stack([row.double().std().expand([1] * row.dim()) for row in rows])
