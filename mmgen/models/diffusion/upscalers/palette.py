"""PaletteNet: images of flat colours made larger, each pixel a mixture of the colours around its place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AROUND = 9  # colours that a small pixel offers: its own and its neighbours'
LEAST = 0.01  # share that a colour begins with where bilinear interpolation gives it none


class PaletteNet(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, scale H, scale W).

    A residual network at the small size ends in two heads: the logits with which each large pixel mixes the nine colours
    around it, a convex upsampling (Teed and Deng 2020, RAFT, section 3.3), and what is added to these colours first. A softmax
    that decides for one of them draws an edge as sharp as the large grid has it, and areas without ripples: the pure colours
    of an edge stand beside it. It begins as bilinear interpolation.
    """

    def __init__(self, width: int, blocks: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.activation = nn.SiLU()
        self.added = nn.Conv2d(width, AROUND * 3, 1)
        self.logits = nn.Conv2d(width, AROUND * scale**2, 1)
        with torch.no_grad():
            self.added.weight.mul_(0.1)
        self.added.bias = nn.Parameter(torch.zeros(AROUND * 3))
        self.logits.bias = nn.Parameter(bilinear(scale).clamp_min(LEAST).log().flatten())

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x).float()
        for block in self.blocks:
            features = features + block(normed(features))
        features = self.activation(normed(features))
        palette = neighbours(x) + self.added(features).unflatten(1, (AROUND, 3))  # (B, 9, 3, H, W)
        share = self.logits(features).unflatten(1, (AROUND, self.scale**2)).softmax(1)  # (B, 9, scale scale, H, W)
        return mixed(palette, share, self.scale)


def normed(x: Tensor) -> Tensor:
    """(B, C, H, W) with the channels of each place divided by their root mean square (Zhang and Sennrich 2019): without it
    features grew until the softmax was saturated, and training lost what it had learned."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


def neighbours(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 9, C, H, W): each pixel's own surroundings, line by line; at the rim as the rim is."""
    height, width = x.shape[-2:]
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return torch.stack([wide[..., y : y + height, z : z + width] for y in range(3) for z in range(3)], 1)


def bilinear(scale: int) -> Tensor:
    """(9, scale scale) shares of the neighbours at each place within a pixel."""
    place = (torch.arange(scale) + 0.5) / scale - 0.5
    line = torch.stack([(-place).clamp_min(0), 1 - place.abs(), place.clamp_min(0)])  # (3, scale)
    return torch.einsum("ay,bx->abyx", line, line).reshape(AROUND, scale**2)


def mixed(palette: Tensor, share: Tensor, scale: int) -> Tensor:
    """Colours (B, 9, 3, H, W) and shares (B, 9, scale scale, H, W) -> (B, 3, scale H, scale W)."""
    out = torch.zeros_like(share[:, 0, None])
    for colour, part in zip(palette.unbind(1), share.unbind(1), strict=True):
        out = out + colour[:, :, None] * part[:, None]  # (B, 3, scale scale, H, W)
    return F.pixel_shuffle(out.flatten(1, 2), scale)


def made_of(tensors: Mapping[str, Tensor]) -> PaletteNet | None:
    """The network with these weights; None: they are of another kind. Raises RuntimeError where some are missing."""
    if not {"first.weight", "added.weight", "logits.weight"} <= tensors.keys():
        return None
    blocks = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")), default=-1)
    scale = round((tensors["logits.weight"].shape[0] / AROUND) ** 0.5)
    network = PaletteNet(tensors["first.weight"].shape[0], blocks, scale)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network
