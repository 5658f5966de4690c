"""Tiny random control models for the UNets of tiny_images.py, saved by diffusers as the real ones are; and a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from PIL import Image


def photo(path: Path, size: tuple[int, int] = (16, 16), seed: int = 0) -> Path:
    """Coloured noise over a bright square."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 90, (size[1], size[0], 3))
    pixels[size[1] // 4 : size[1] // 2, size[0] // 4 :] += 160
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Every weight; new control models are zero where they touch the UNet."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) / weight[0].numel() ** 0.5)
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=draw) / 10)


def controlnet(folder: Path, base: Path, seed: int = 0, channel_order: str = "rgb") -> Path:
    """For the model in the folder `base`, whose autoencoder halves images."""
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    made = ControlNetModel.from_unet(unet, channel_order, conditioning_embedding_out_channels=(4, 8))
    randomize(made, seed)
    made.save_pretrained(folder)
    return folder
