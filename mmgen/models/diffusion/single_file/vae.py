"""An autoencoder of the original repositories as diffusers' module. A file of its own may have diffusers' names, too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.autoencoder import LatentAutoencoder
from mmgen.models.diffusion.single_file import kinds
from mmgen.models.diffusion.single_file.tensors import SingleFile, levels
from mmgen.models.diffusion.single_file.unet import fill

Scales = Mapping[str, Any]
"""What latents are multiplied with and moved by, as diffusers' configurations call it; a file does not tell."""
SCALES: dict[str, Scales] = {
    "Stable Diffusion 1.x": {"scaling_factor": 0.18215},
    "Stable Diffusion 2.x": {"scaling_factor": 0.18215},
    "Stable Diffusion XL": {"scaling_factor": 0.13025},
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def load(file: SingleFile, prefix: str, scales: Scales, device: str, dtype: torch.dtype) -> LatentAutoencoder:
    """From the tensors behind a prefix."""
    import diffusers

    ours = file.has(f"{prefix}encoder.down_blocks.")
    with without_init():
        vae: Any = diffusers.AutoencoderKL(**_config(file, prefix, scales, ours))
    source = partial(_same, prefix) if ours else partial(original, prefix, len(vae.config.block_out_channels))
    fill(file, vae, source)
    return LatentAutoencoder(vae.requires_grad_(False).eval().to(device, dtype))


def from_path(path: Path, scales: Scales, device: str, dtype: torch.dtype) -> LatentAutoencoder:
    """From a file, or a folder in diffusers' format, which tells its own scale. Raises BadWeights for what is none."""
    if path.is_dir():
        return LatentAutoencoder.load(path, device, dtype)
    if path.suffix != ".safetensors":
        raise BadWeights(f"{path} is not a safetensors file; a pickle can run code when read, fetch the VAE as safetensors")
    file = SingleFile(path)
    prefix = next((one for one in ("", kinds.VAE, "vae.") if file.has(f"{one}decoder.conv_in.")), None)
    if prefix is None or not file.has(f"{prefix}encoder.conv_in."):
        told = kinds.looks_like(file.shapes) or "no autoencoder"
        raise BadWeights(f"{path} looks like {told}; give --vae the VAE of a model of this kind")
    return load(file, prefix, scales, device, dtype)


def _config(file: SingleFile, prefix: str, scales: Scales, ours: bool) -> dict[str, Any]:
    blocks = "encoder.down_blocks.{}." if ours else "encoder.down.{}."
    layers = "resnets" if ours else "block"
    depth = levels(file, prefix + blocks)
    if not depth or f"{prefix}decoder.conv_in.weight" not in file.shapes:
        raise BadWeights(f"{file.path} has an autoencoder of another shape than Stable Diffusion's")
    channels = [file.shapes[f"{prefix}{blocks.format(n)}{layers}.0.conv2.weight"][0] for n in range(depth)]
    return {
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * depth,
        "up_block_types": ["UpDecoderBlock2D"] * depth,
        "layers_per_block": levels(file, f"{prefix}{blocks.format(0)}{layers}.{{}}."),
        "latent_channels": file.shape(f"{prefix}decoder.conv_in.weight")[1],
        "use_quant_conv": file.has(f"{prefix}quant_conv."),
        "use_post_quant_conv": file.has(f"{prefix}post_quant_conv."),
        **scales,
        "sample_size": 512,
    }


def _same(prefix: str, name: str) -> str:
    return prefix + name


def original(prefix: str, depth: int, name: str) -> str:
    """A tensor of diffusers' AutoencoderKL as the original repository calls it. `depth`: levels of the network."""
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda found: f"up.{depth - 1 - int(found[1])}.block.", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0\.", lambda found: f"up.{depth - 1 - int(found[1])}.upsample.", name)
    name = re.sub(r"mid_block\.resnets\.(\d)\.", lambda found: f"mid.block_{int(found[1]) + 1}.", name)
    found = re.fullmatch(r"(.*)mid_block\.attentions\.0\.(.*)\.(weight|bias)", name)
    if found:
        name = f"{found[1]}mid.attn_1.{ATTENTION[found[2]]}.{found[3]}"
    return prefix + name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
