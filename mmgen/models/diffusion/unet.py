"""diffusers' UNet2DConditionModel as the models trained here have it: the same tensors, names and numbers, without the import.

A configuration that asks for more is read by diffusers' own class, see `UNetConfig.read`.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.cpu.activations import group_norm
from mmgen.models.cpu.batch_invariant import silu
from mmgen.models.diffusion.unet_blocks import (
    NearestConv,
    PlaceTransformer,
    SinusoidMLP,
    StridedConv,
    TimedResidual,
    UNetConditions,
)
from mmgen.models.diffusion.unet_config import DOWN, UP, UNetConfig

FILE = "diffusion_pytorch_model.safetensors"


class UNetLevel(nn.Module):
    """Residual blocks of one size, each followed by a transformer where the level attends."""

    def __init__(self, residuals: list[TimedResidual], attentions: list[PlaceTransformer]) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(residuals)
        if attentions:
            self.attentions = nn.ModuleList(attentions)

    def layer(self, number: int, x: Tensor, told: UNetConditions) -> Tensor:
        x = self.resnets[number](x, told.time)
        return self.attentions[number](x, told) if hasattr(self, "attentions") else x


class DownLevel(UNetLevel):
    def __init__(self, config: UNetConfig, level: int) -> None:
        widths = config.block_out_channels
        inputs, width = widths[max(level - 1, 0)], widths[level]
        numbers, attends = range(config.layers_per_block), config.down_block_types[level] == DOWN[1]
        super().__init__(
            [TimedResidual(config, width if number else inputs, width) for number in numbers],
            [PlaceTransformer(config, width, config.heads[level], config.layers[level]) for _ in numbers if attends],
        )
        if level + 1 < len(widths):
            self.downsamplers = nn.ModuleList([StridedConv(width)])

    def forward(self, x: Tensor, told: UNetConditions) -> list[Tensor]:
        """What every layer gives, for the way up; the last one goes on."""
        out: list[Tensor] = []
        for number in range(len(self.resnets)):
            x = self.layer(number, x, told)
            out.append(x)
        if hasattr(self, "downsamplers"):
            out.append(self.downsamplers[0](x))
        return out


class MiddleLevel(nn.Module):
    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width = config.block_out_channels[-1]
        self.resnets = nn.ModuleList(TimedResidual(config, width, width) for _ in range(2))
        self.attentions = nn.ModuleList([PlaceTransformer(config, width, config.heads[-1], config.layers[-1])])

    def forward(self, x: Tensor, told: UNetConditions) -> Tensor:
        out: Tensor = self.resnets[1](self.attentions[0](self.resnets[0](x, told.time), told), told.time)
        return out


class UpLevel(UNetLevel):
    def __init__(self, config: UNetConfig, place: int) -> None:
        """`place`: 0 is the smallest size."""
        widths = config.block_out_channels[::-1]
        below, width, above = widths[max(place - 1, 0)], widths[place], widths[min(place + 1, len(widths) - 1)]
        numbers, attends = range(config.layers_per_block + 1), config.up_block_types[place] == UP[1]
        inputs = [(width if number else below) + (width if number < numbers[-1] else above) for number in numbers]
        heads, layers = config.heads[::-1][place], config.layers[::-1][place]
        super().__init__(
            [TimedResidual(config, each, width) for each in inputs],
            [PlaceTransformer(config, width, heads, layers) for _ in numbers if attends],
        )
        if place + 1 < len(widths):
            self.upsamplers = nn.ModuleList([NearestConv(width)])

    def forward(self, x: Tensor, skipped: list[Tensor], told: UNetConditions) -> Tensor:
        """Takes its layers' share off the end of `skipped`."""
        for number in range(len(self.resnets)):
            x = self.layer(number, torch.cat((x, skipped.pop()), dim=1), told)
        return self.upsamplers[0](x, skipped[-1].shape[2:]) if skipped else x


class ConditionalUNet(nn.Module):
    """`UNet2DConditionModel`: latents, timesteps and a prompt's tokens to a prediction of the latents' shape."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config, widths = config, config.block_out_channels
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = SinusoidMLP(widths[0], config.time_width)
        if config.class_embed_type is not None:
            embedding = SinusoidMLP if config.class_embed_type == "projection" else nn.Linear
            self.class_embedding = embedding(config.projection_class_embeddings_input_dim or 0, config.time_width)
        self.down_blocks = nn.ModuleList(DownLevel(config, level) for level in range(len(widths)))
        self.mid_block = MiddleLevel(config)
        self.up_blocks = nn.ModuleList(UpLevel(config, place) for place in range(len(widths)))
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, widths[0], config.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    @property
    def device(self) -> torch.device:
        return self.time_embedding.linear_1.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.conv_norm_out.weight.dtype

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """Called as diffusers' class is; `return_dict` is without effect.

        Args:
            sample: (B, in_channels, h, w).
            timestep: (B,), or one of all rows.
            encoder_hidden_states: (B, N, cross_attention_dim).
            class_labels: (B, projection_class_embeddings_input_dim), of a network with a class embedding.
            encoder_attention_mask: (B, N), True for tokens that are seen; None: all are.

        Returns:
            (B, out_channels, h, w), alone in a tuple.
        """
        time = self.time_embedding(self._sinusoids(timestep.expand(len(sample))).to(sample.dtype))
        if self.config.class_embed_type is not None:
            time = time + self.class_embedding(class_labels).to(sample.dtype)
        bias = None
        if encoder_attention_mask is not None:
            bias = ((1 - encoder_attention_mask.to(sample.dtype)) * -10000.0)[:, None, None]
        told = UNetConditions(silu(time), encoder_hidden_states, bias)
        x = self.conv_in(sample)
        skipped = [x]
        for down in self.down_blocks:
            skipped += down(skipped[-1], told)
        x = self.mid_block(skipped[-1], told)
        for up in self.up_blocks:
            x = up(x, skipped, told)
        return (self.conv_out(group_norm(x, self.conv_norm_out)),)

    def _sinusoids(self, timesteps: Tensor) -> Tensor:
        """(B,) -> (B, C) fp32; Ho et al. 2020 (DDPM), appendix B."""
        width = self.config.block_out_channels[0]
        exponents = -math.log(10000) * torch.arange(width // 2, dtype=torch.float32, device=timesteps.device)
        angles = timesteps[:, None].float() * torch.exp(exponents / (width // 2 - self.config.freq_shift))
        parts = (angles.cos(), angles.sin()) if self.config.flip_sin_to_cos else (angles.sin(), angles.cos())
        return F.pad(torch.cat(parts, dim=-1), (0, width % 2))


def read(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> ConditionalUNet | None:
    """From config.json and one safetensors file of diffusers; None for what is left to diffusers' own class.

    Raises BadWeights for a damaged file, and for one that does not hold what the configuration says.
    """
    config = UNetConfig.read(safetensors_io.read_json(folder / "config.json"))
    if config is None or not (folder / FILE).is_file():
        return None
    tensors = safetensors_io.read(folder / FILE)
    with without_init():
        unet = ConditionalUNet(config)
    try:
        safetensors_io.fill(unet, tensors)
    except BadWeights as why:
        raise BadWeights(f"{folder}: {why}") from None
    return unet.to(dtype).requires_grad_(False).eval().to(device)


def diffusers_unet(unet: ConditionalUNet) -> Any:
    """The same network as an object of diffusers, for what takes only those, such as its pipelines."""
    from diffusers import UNet2DConditionModel

    made: Any = UNet2DConditionModel(**asdict(unet.config))
    made.load_state_dict(unet.state_dict())
    return made.to(unet.device, unet.dtype).requires_grad_(False).eval()
