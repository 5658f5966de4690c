"""PaletteNet: images of flat colours made larger, each pixel a mixture of a few colours that its place offers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PaletteNet(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, scale H, scale W).

    A residual network at the small size ends in two heads: `colours`, a palette of a few colours for every small pixel, added
    to that pixel, and `weights`, by sub-pixel convolution (Shi et al. 2016) the logits with which a large pixel mixes them. A
    softmax that decides for one colour draws an edge as sharp as the large grid has it, and areas without ripples.
    """

    def __init__(self, width: int, blocks: int, colours: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.activation = nn.SiLU()
        self.colours = nn.Conv2d(width, 3 * colours, 1)
        self.weights = nn.Conv2d(width, colours * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.first(x)
        for block in self.blocks:
            features = features + block(features)
        features = self.activation(features)
        palette = self.colours(features).unflatten(1, (-1, 3)) + x[:, None]  # (B, K, 3, H, W)
        share = F.pixel_shuffle(self.weights(features), self.scale).softmax(1)  # (B, K, scale H, scale W)
        return mixed(palette, share, self.scale)


def mixed(palette: Tensor, share: Tensor, scale: int) -> Tensor:
    """Colours (B, K, 3, H, W) of small pixels and shares (B, K, scale H, scale W) of large ones -> (B, 3, scale H, scale W)."""
    out: Tensor = torch.zeros(())
    for colour, part in zip(palette.unbind(1), share.unbind(1), strict=True):
        near = colour.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        out = out + near * part[:, None]
    return out


def made_of(tensors: Mapping[str, Tensor]) -> PaletteNet | None:
    """The network with these weights; None: they are of another kind. Raises RuntimeError where some are missing."""
    if not {"first.weight", "colours.weight", "weights.weight"} <= tensors.keys():
        return None
    colours = tensors["colours.weight"].shape[0] // 3
    blocks = 1 + max((int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")), default=-1)
    scale = round((tensors["weights.weight"].shape[0] / max(1, colours)) ** 0.5)
    network = PaletteNet(tensors["first.weight"].shape[0], blocks, colours, scale)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return network
