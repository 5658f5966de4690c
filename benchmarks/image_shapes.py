"""Random weights of well-known shapes of latent diffusion, UNet and autoencoder: for txt2img.py, where no hub can be reached.

Speed does not depend on the numbers. Peer and ours share one set of tensors until ours are packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import diffusers
import torch
from torch import nn

from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.autoencoder import LatentAutoencoder
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.denoiser import DenoiserModel

CROSS, PLAIN, UP_CROSS, UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
SD15 = {
    "block_out_channels": (320, 640, 1280, 1280), "down_block_types": (CROSS, CROSS, CROSS, PLAIN),
    "up_block_types": (UP, UP_CROSS, UP_CROSS, UP_CROSS), "attention_head_dim": 8, "cross_attention_dim": 768,
}  # fmt: skip
SDXL = {
    "block_out_channels": (320, 640, 1280), "down_block_types": (PLAIN, CROSS, CROSS),
    "up_block_types": (UP_CROSS, UP_CROSS, UP), "attention_head_dim": (5, 10, 20), "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048, "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
TINY = {
    "block_out_channels": (32, 64), "down_block_types": (PLAIN, CROSS), "up_block_types": (UP_CROSS, UP),
    "attention_head_dim": (2, 4), "transformer_layers_per_block": (1, 2), "cross_attention_dim": 64,
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 80,
}  # fmt: skip
UNETS: dict[str, dict[str, Any]] = {"sd15": SD15, "sdxl": SDXL, "tiny": TINY}
POOLED = {"sd15": None, "sdxl": 1280, "tiny": 32}
"""Numbers of the vector of a whole prompt; None: the UNet is not told it."""
SIZES = {"sd15": 256, "sdxl": 256, "tiny": 16}
"""Pixels a side: of 256 an image takes seconds on two cores."""
WIDTHS = {"sd15": (128, 256, 512, 512), "sdxl": (128, 256, 512, 512), "tiny": (32, 32)}
"""Channels of the autoencoder's levels."""
SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False, "set_alpha_to_one": False,
    "steps_offset": 1,
}  # fmt: skip
TOKENS = 77


class RandomPrompts:
    """A text side that says something at random."""

    def __init__(self, width: int, pooled: int | None) -> None:
        self.width, self.pooled = width, pooled

    def embed(self, prompts: Sequence[str], *_: Any) -> list[Conditioning]:
        whole = [None if self.pooled is None else torch.randn(self.pooled) for _ in prompts]
        return [Conditioning(torch.randn(TOKENS, self.width), pooled=one) for one in whole]

    def modules(self) -> list[Any]:
        return []

    def networks(self) -> dict[str, Any]:
        return {}

    def widths(self) -> list[int]:
        return []


def networks(shape: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """UNet and autoencoder as diffusers has them."""
    factor = 2 ** (len(WIDTHS[shape]) - 1)
    with without_init(dtype):
        unet = diffusers.UNet2DConditionModel(sample_size=SIZES[shape] // factor, **UNETS[shape])
        vae = diffusers.AutoencoderKL(
            block_out_channels=WIDTHS[shape],
            down_block_types=("DownEncoderBlock2D",) * len(WIDTHS[shape]),
            up_block_types=("UpDecoderBlock2D",) * len(WIDTHS[shape]),
            latent_channels=4,
            layers_per_block=2,
            sample_size=SIZES[shape],
        )
    return tuple(_drawn(one.to(dtype).requires_grad_(False).eval()) for one in (unet, vae))  # type: ignore[return-value]


def model(shape: str, unet: Any, vae: Any) -> DenoiserModel:
    """Ours, of modules with the same tensors."""
    torch.manual_seed(0)
    text = RandomPrompts(UNETS[shape]["cross_attention_dim"], POOLED[shape])
    return DenoiserModel(_twin(unet), text, LatentAutoencoder(_twin(vae)), SCHEDULE)  # type: ignore[arg-type]


def _drawn(module: nn.Module) -> nn.Module:
    """With numbers as a layer's first ones; a few million are drawn and repeated, as drawing billions takes minutes."""
    bank = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    for name, parameter in module.named_parameters():
        if parameter.dim() == 1:  # of norms, and biases
            parameter.fill_(float(name.endswith("weight")))
            continue
        scaled = (bank * parameter[0].numel() ** -0.5).to(parameter.dtype)
        for part in parameter.data.view(-1).split(len(bank)):
            part.copy_(scaled[: len(part)])
    return module


def _twin(network: Any) -> Any:
    with torch.device("meta"):
        made = type(network).from_config(network.config)
    made.load_state_dict(network.state_dict(), assign=True)
    return made.requires_grad_(False).eval()
