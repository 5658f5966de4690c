"""A tiny decoder of latents for previews (TAESD and its kin), from a file of its own or a folder in diffusers' format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.autoencoder import LatentAutoencoder
from mmgen.models.diffusion.single_file import kinds
from mmgen.models.diffusion.single_file.tensors import SingleFile

PREFIXES = {"": 1, "taesd_decoder.": 1, "decoder.layers.": 0}
"""What stands before a layer's number, and the number of the first: in the original files a clamp is layer 0."""


def load(path: Path, channels: int, device: str) -> LatentAutoencoder:
    """fp32; it decodes alone. `channels`: of the model's latents.

    Raises BadWeights for a file of another kind, BadRequest for a decoder of other latents.
    """
    made = LatentAutoencoder.load(path, device, torch.float32) if path.is_dir() else _from_file(SingleFile(path), device)
    if made.channels != channels:
        raise BadRequest(f"{path} decodes latents of {made.channels} channels, the model's have {channels}; take its own kind")
    return made


def _from_file(file: SingleFile, device: str) -> LatentAutoencoder:
    import diffusers

    prefix = next((one for one, number in PREFIXES.items() if f"{one}{number}.weight" in file.shapes), None)
    if prefix is None or not file.has(f"{prefix}{PREFIXES[prefix] + 2}.conv.0."):
        told = kinds.looks_like(file.shapes) or "no decoder that is known here"
        raise BadWeights(f"{file.path} looks like {told}; give --preview-vae a TAESD decoder or a folder in diffusers' format")
    blocks = [0]  # between two convolutions; layers without tensors are activations and upsampling
    last = max(int(found[1]) for name in file.shapes if (found := re.match(rf"{re.escape(prefix)}(\d+)\.", name)))
    for number in range(PREFIXES[prefix] + 1, last):
        if f"{prefix}{number}.conv.0.weight" in file.shapes:
            blocks[-1] += 1
        elif f"{prefix}{number}.weight" in file.shapes:
            blocks.append(0)
    width, channels, *_ = file.shape(f"{prefix}{PREFIXES[prefix]}.weight")
    with without_init():
        vae: Any = diffusers.AutoencoderTiny(
            latent_channels=channels,
            num_decoder_blocks=blocks,
            decoder_block_out_channels=[width] * len(blocks),
            num_encoder_blocks=blocks,
            encoder_block_out_channels=[width] * len(blocks),
        )
    vae.encoder = nn.Identity()
    with torch.no_grad():
        for name, weight in vae.decoder.layers.state_dict().items():
            number, _, rest = name.partition(".")
            weight.copy_(file.get(f"{prefix}{int(number) + PREFIXES[prefix]}.{rest}"))
    return LatentAutoencoder(vae.requires_grad_(False).eval().to(device))
