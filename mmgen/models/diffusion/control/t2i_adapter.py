"""T2I-Adapter (Mou et al. 2023): a small network that sees an image once, and adds to a UNet's way down in every step.

The network is diffusers'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadRequest, BadWeights
from mmgen.image_params import ControlInput
from mmgen.models.checkpoints import pretrained
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.diffusion.control.row_control import PreparedControl

GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey image; ITU-R BT.601, as Pillow has it."""


class T2IAdapter:
    """Its features are of the image alone, so they are computed before the first step."""

    kind, spatial = "T2I-Adapter", True

    def __init__(self, network: Any, name: str = "") -> None:
        self.network, self.name = network, name
        hold(network)
        self.device, self.dtype = network.device, network.dtype
        self.channels, self.multiple = int(network.config.in_channels), int(network.downscale_factor)

    @torch.inference_mode()
    def prepare(self, given: ControlInput) -> PreparedControl:
        """Features of each level, (C, h, w). Raises BadRequest for a size that the network cannot divide."""
        assert given.pixels is not None
        height, width = given.pixels.shape[1:]
        for word, pixels in (("width", width), ("height", height)):
            if pixels % self.multiple:
                near = max(self.multiple, self.multiple * round(pixels / self.multiple))
                raise BadRequest(f"{word} is {pixels} pixels; {self.name} needs a multiple of {self.multiple}, such as {near}")
        image = given.pixels
        if self.channels == 1:
            grey = (image * torch.tensor(GREY).view(3, 1, 1)).sum(0, keepdim=True)
            image = (grey * 255).round() / 255
        return PreparedControl([one[0] for one in self.features(image[None])])

    @torch.inference_mode()
    def features(self, images: Tensor) -> list[Tensor]:
        """(B, channels, H, W) in [0, 1] -> (B, C, h, w) of each level."""
        return list(self.network(images.to(self.device, self.dtype)))

    def modules(self) -> list[nn.Module]:
        return [self.network]


def load(path: Path, base: Any, device: str, name: str) -> T2IAdapter:
    """From a folder of diffusers. Raises BadWeights for one that adds to another UNet."""
    import diffusers

    made = T2IAdapter(pretrained.load(diffusers.T2IAdapter, path, device, base.dtype), name)
    check_shape(made, base)
    return made


def check_shape(made: T2IAdapter, base: Any) -> None:
    """Raises BadWeights where its features are not those that the UNet of `base` can add: tried on a small image."""
    config = base.unet.config
    widths, kinds = list(config.block_out_channels), list(config.down_block_types)
    places = 2 ** len(widths)
    side = base.factor * places
    if made.channels not in (1, 3) or side % made.multiple:
        raise BadWeights(_told(made, base))
    wanted, last = [], len(widths) - 1
    for level, (width, kind) in enumerate(zip(widths, kinds, strict=True)):
        halved = level + (level < last and not kind.startswith("CrossAttn"))  # behind its downsampler, or before it
        wanted.append((width, places >> halved, places >> halved))
    wanted.append((widths[-1], places >> last, places >> last))  # of the middle, where there are so many
    found = [tuple(one.shape[1:]) for one in made.features(torch.zeros(1, made.channels, side, side))]
    if found not in (wanted, wanted[:-1]):
        raise BadWeights(_told(made, base))


def _told(made: T2IAdapter, base: Any) -> str:
    config = made.network.config
    return (
        f"{made.name} is a T2I-Adapter ({config.adapter_type}) with channels {list(config.channels)} and downscale_factor "
        f"{config.downscale_factor}, which {base.name}'s UNet cannot add; take one made for {base.name}"
    )
