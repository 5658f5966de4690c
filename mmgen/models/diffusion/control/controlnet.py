"""ControlNet (Zhang et al. 2023): a copy of a UNet's way down that sees an image, and adds to the UNet's skip connections.

The network is diffusers'; in a folder of theirs, or in one file under their names or those of the original repository.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.image_params import ControlInput
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.diffusion.adapters.layer_names import original_name
from mmgen.models.diffusion.control.row_control import PreparedControl
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.unet import fill

ORIGINAL = "control_model."
"""How the original repository's names begin."""


class ControlNet:
    """The network, and apart from it the convolutions that see the image: they are asked once an image, not once a step."""

    kind, spatial = "ControlNet", True

    def __init__(self, network: Any) -> None:
        self.network, self.eye = network, network.controlnet_cond_embedding
        self.backwards = network.config.controlnet_conditioning_channel_order == "bgr"
        network.controlnet_cond_embedding = nn.Identity()
        network.register_to_config(controlnet_conditioning_channel_order="rgb")
        self.device, self.dtype = network.device, network.dtype
        for module in self.modules():
            hold(module)

    @torch.inference_mode()
    def prepare(self, given: ControlInput) -> PreparedControl:
        """(3, H, W) in [0, 1] -> (C, h, w), as wide as the network's first level."""
        assert given.pixels is not None
        image = given.pixels.flip(0) if self.backwards else given.pixels
        return PreparedControl([self.eye(image[None].to(self.device, self.dtype))[0]])

    def residuals(
        self, x: Tensor, timesteps: Tensor, tokens: Tensor, seen: Sequence[Tensor], more: Mapping[str, Any]
    ) -> list[Tensor]:
        """What is added to the UNet's skip connections, from the first to the last, and then to its middle.

        Args:
            x: (B, C, h, w) latents.
            timesteps: (B,)
            tokens: (B, N, D), prompts of one length.
            seen: of each row, what `prepare` made of its image.
            more: what the UNet is told besides.
        """
        known = {name: one for name, one in more.items() if name in ("added_cond_kwargs", "class_labels")}
        hints = torch.stack(list(seen))
        down, middle = self.network(x, timesteps, tokens, hints, return_dict=False, **known)
        return [*down, middle]

    def modules(self) -> list[nn.Module]:
        return [self.network, self.eye]


def load(path: Path, unet: Any, device: str, dtype: torch.dtype) -> ControlNet:
    """From a folder of diffusers, or one file whose network has the shape of `unet`'s way down."""
    import diffusers

    if path.is_dir():
        return ControlNet(pretrained.load(diffusers.ControlNetModel, path, device, dtype))
    file = SingleFile(path)
    prefix = ORIGINAL if file.has(ORIGINAL) else ""
    layers, eye = int(unet.config.layers_per_block), "controlnet_cond_embedding"

    def source(name: str) -> str:
        place, _, end = name.rpartition(".")
        return f"{ORIGINAL}{_original(place, layers)}.{end}" if prefix else name

    widths = [file.shapes.get(source(f"{eye}.conv_in.weight"), (16, 3))[0]]
    number = 0
    while (shape := file.shapes.get(source(f"{eye}.blocks.{2 * number + 1}.weight"))) is not None:
        widths.append(shape[0])
        number += 1
    with without_init():
        network = diffusers.ControlNetModel.from_unet(
            unet, conditioning_embedding_out_channels=tuple(widths), load_weights_from_unet=False
        )
    fill(file, network, source)
    file.check_all_read(prefix, "a ControlNet")
    return ControlNet(network.requires_grad_(False).eval().to(device, dtype))


def _original(place: str, layers: int) -> str:
    """A layer as the original repository calls it."""
    known = {
        "controlnet_cond_embedding.conv_in": "input_hint_block.0",
        "controlnet_cond_embedding.conv_out": "input_hint_block.14",
        "controlnet_mid_block": "middle_block_out.0",
    }
    head, _, number = place.rpartition(".")
    if head == "controlnet_cond_embedding.blocks":
        return f"input_hint_block.{2 * int(number) + 2}"
    if head == "controlnet_down_blocks":
        return f"zero_convs.{number}.0"
    return known.get(place) or original_name(place, layers)
