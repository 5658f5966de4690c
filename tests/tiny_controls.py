"""Tiny random control models for the UNets of tiny_images.py, saved by diffusers as the real ones are; and a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection


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


def t2i_adapter(folder: Path, seed: int = 0, **values: Any) -> Path:
    """For a UNet with channels 8 and 16 whose last level attends to nothing, and an autoencoder that halves images."""
    made = T2IAdapter(**{"channels": [8, 16], "num_res_blocks": 1, "downscale_factor": 2} | values)
    randomize(made, seed)
    made.save_pretrained(folder)
    return folder


def image_encoder(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, projection_dim=12, num_hidden_layers=3, num_attention_heads=2, image_size=8,
        patch_size=4,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def ip_adapter(folder: Path, base: Path, kind: str = "plain", seed: int = 0) -> Path:
    """The file, for the model in the folder `base`, with an image encoder beside it. kind: plain, plus, full or face."""
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    context, draw = int(unet.config.cross_attention_dim), torch.Generator().manual_seed(seed)
    kinds: dict[str, dict[str, tuple[int, ...]]] = {
        "plain": {
            "proj.weight": (4 * context, 12), "proj.bias": (4 * context,), "norm.weight": (context,), "norm.bias": (context,),
        },
        "full": {
            "proj.0.weight": (16, 16), "proj.0.bias": (16,), "proj.2.weight": (context, 16), "proj.2.bias": (context,),
            "proj.3.weight": (context,), "proj.3.bias": (context,),
        },
        "face": {"proj.0.weight": (16, 16), "proj.2.weight": (context, 16), "norm.weight": (context,)},
        "plus": {
            "latents": (1, 5, 8), "proj_in.weight": (8, 16), "proj_in.bias": (8,), "proj_out.weight": (context, 8),
            "proj_out.bias": (context,), "norm_out.weight": (context,), "norm_out.bias": (context,),
            **{f"layers.{n}.{name}": shape for n in range(4) for name, shape in RESAMPLER.items()},
        },
    }  # fmt: skip
    paths = [name.removesuffix(".processor") for name in unet.attn_processors if not name.endswith("attn1.processor")]
    shapes = {f"image_proj.{name}": shape for name, shape in kinds[kind].items()} | {
        f"ip_adapter.{2 * n + 1}.to_{word}_ip.weight": (unet.get_submodule(path).to_k.out_features, context)
        for n, path in enumerate(paths)
        for word in "kv"
    }
    folder.mkdir(exist_ok=True)
    file = folder / f"ip-adapter-{kind}.safetensors"
    save_file({name: torch.randn(shape, generator=draw) / shape[-1] ** 0.5 for name, shape in shapes.items()}, file)
    if not (folder / "image_encoder").exists():
        image_encoder(folder / "image_encoder")
    return file


RESAMPLER = {
    "0.norm1.weight": (8,), "0.norm1.bias": (8,), "0.norm2.weight": (8,), "0.norm2.bias": (8,), "0.to_q.weight": (64, 8),
    "0.to_kv.weight": (128, 8), "0.to_out.weight": (8, 64), "1.0.weight": (8,), "1.0.bias": (8,), "1.1.weight": (32, 8),
    "1.3.weight": (8, 32),
}  # fmt: skip
