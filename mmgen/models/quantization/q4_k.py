"""Rounds matrices to Q4_K, GGML's four bits with a scale and a minimum for each of eight groups of a block of 256."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK, GROUP = 256, 32
MOST = 15  # of four bits
STEPS = 63  # of a group's scale and minimum, in six bits
ROWS = 4096
"""Blocks that are rounded at once."""


def q4_k(weight: Tensor) -> Tensor:
    """(rows, columns), columns a multiple of 256 -> uint8 (rows, columns / 256 * 144).

    A weight is `d * scale * number - dmin * minimum`: `d` and `dmin` fp16 of a block, scales and minima 0 to 63 of a group of
    32, numbers 0 to 15.
    """
    blocks = weight.detach().float().reshape(-1, BLOCK)
    return torch.cat([_rounded(some) for some in blocks.split(ROWS)]).view(len(weight), -1)


def _rounded(blocks: Tensor) -> Tensor:
    """(B, 256) -> uint8 (B, 144)"""
    groups = blocks.view(-1, BLOCK // GROUP, GROUP)
    scales, minima = _fitted(groups)  # (B, 8) each, both at least 0
    d, dmin = ((most.amax(1) / STEPS).half() for most in (scales, minima))
    scale_steps, minimum_steps = (_steps(one, unit) for one, unit in ((scales, d), (minima, dmin)))
    step = (d.float()[:, None] * scale_steps)[..., None]
    offset = (dmin.float()[:, None] * minimum_steps)[..., None]
    numbers = torch.where(step > 0, (groups + offset) / step.clamp(min=1e-30), 0).round().clamp(0, MOST).to(torch.uint8)
    halves = numbers.view(-1, 4, 2, GROUP)  # a byte has a number of a group and one of the group after it
    packed = (halves[:, :, 0] | halves[:, :, 1] << 4).flatten(1)
    units = torch.stack((d, dmin), 1).view(torch.uint8)
    return torch.cat((units, _six_bits(scale_steps.to(torch.uint8), minimum_steps.to(torch.uint8)), packed), 1)


def _steps(values: Tensor, unit: Tensor) -> Tensor:
    """(B, 8) in steps of (B,), 0 to 63."""
    unit = unit.float()[:, None]
    return torch.where(unit > 0, values / unit.clamp(min=1e-30), 0).round().clamp(0, STEPS)


def _fitted(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and minimum of each group that leave the least squared error, of twenty-one tries by least squares."""
    least, most = groups.amin(-1).clamp(max=0), groups.amax(-1)
    spread = (most - least).clamp(min=1e-30)
    best = torch.full_like(least, torch.inf)
    scales, minima = torch.zeros_like(least), torch.zeros_like(least)
    for number in range(21):
        inverse = (MOST - 1 + 0.1 * number) / spread
        numbers = (inverse[..., None] * (groups - least[..., None])).round().clamp(0, MOST)
        mean_n, mean_x = numbers.mean(-1), groups.mean(-1)
        variance = (numbers * numbers).mean(-1) - mean_n**2
        slope = torch.where(
            variance > 0, ((numbers * groups).mean(-1) - mean_n * mean_x) / variance.clamp(min=1e-12), 1 / inverse
        )
        slope = slope.clamp(min=0)
        start = (mean_x - slope * mean_n).clamp(max=0)
        error = (slope[..., None] * numbers + start[..., None] - groups).square().sum(-1)
        better = error < best
        best = torch.where(better, error, best)
        scales, minima = torch.where(better, slope, scales), torch.where(better, -start, minima)
    return scales, minima


def _six_bits(scales: Tensor, minima: Tensor) -> Tensor:
    """(B, 8) each -> (B, 12): six bits of the first four; four of the last four, whose other two lie above the first."""
    low = (scales[:, :4] | scales[:, 4:] >> 4 << 6, minima[:, :4] | minima[:, 4:] >> 4 << 6)
    return torch.cat((*low, scales[:, 4:] & 15 | (minima[:, 4:] & 15) << 4), 1)
