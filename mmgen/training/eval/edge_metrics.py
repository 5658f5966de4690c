"""How near an enlarged image is to the true one, how sharp its edges are, and how flat its areas.

Images are (B, 3, H, W) in [0, 1]; slopes are the differences of neighbouring pixels, the largest of three colours and two
directions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EDGE = 0.2
"""A slope from which a pixel of the true image is an edge."""
FLAT = 0.01
"""A slope up to which, together with its neighbours, it lies in an area of one colour."""
REACH = 2
"""Pixels by which an edge may be moved and is still as sharp."""


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """(B,) peak signal-to-noise ratio in dB."""
    return -10 * torch.log10(((images - truth) ** 2).mean((1, 2, 3)).clamp_min(1e-10))


def slopes(images: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W)"""
    across = F.pad((images[..., 1:] - images[..., :-1]).abs(), (0, 1))
    down = F.pad((images[..., 1:, :] - images[..., :-1, :]).abs(), (0, 0, 0, 1))
    return torch.maximum(across, down).amax(1, keepdim=True)


def _around(values: Tensor, reach: int) -> Tensor:
    """The largest within so many pixels."""
    return F.max_pool2d(values, 2 * reach + 1, stride=1, padding=reach)


def sharpness(images: Tensor, truth: Tensor) -> Tensor:
    """(B,) at the true image's edges: the steepest slope near by, as a share of the true one; 1 is as sharp. nan: no edges."""
    true = _around(slopes(truth), REACH)
    edges = (slopes(truth) >= EDGE).float()
    share = (_around(slopes(images), REACH) / true.clamp_min(1e-6)) * edges
    return share.sum((1, 2, 3)) / edges.sum((1, 2, 3))


def ripple(images: Tensor, truth: Tensor) -> Tensor:
    """(B,) mean slope where the true image is of one colour, in levels of 255; 0 is as flat. nan: there is no such area."""
    flat = (_around(slopes(truth), 2 * REACH) <= FLAT).float()
    return 255 * (slopes(images) * flat).sum((1, 2, 3)) / flat.sum((1, 2, 3))


def measured(images: Tensor, truth: Tensor) -> dict[str, float]:
    """Means of all three over the images."""
    found = {"psnr": psnr(images, truth), "sharpness": sharpness(images, truth), "ripple": ripple(images, truth)}
    return {name: float(values.nanmean()) for name, values in found.items()}
