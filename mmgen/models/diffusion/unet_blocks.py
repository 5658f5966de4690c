"""Parts of a conditional UNet under diffusers' names: residual blocks with the timestep, transformers over places, resizing."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.activations import gated_gelu, group_norm
from mmgen.models.cpu.batch_invariant import dense_attention, silu
from mmgen.models.diffusion.unet_config import UNetConfig


class UNetConditions(NamedTuple):
    """What every block is told beside the image."""

    time: Tensor  # (B, T): embedding of timestep and class, behind its activation
    tokens: Tensor  # (B, N, D): the keys of cross-attention
    bias: Tensor | None  # (B, 1, 1, N): what is added to their scores; None: nothing


class SinusoidMLP(nn.Module):
    """Two linear layers around a SiLU."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(inputs, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(silu(self.linear_1(x)))
        return out


class TimedResidual(nn.Module):
    """Two convolutions, the second told the timestep: added to their input, or as scale and shift of its norm."""

    def __init__(self, config: UNetConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.scaled = config.resnet_time_scale_shift == "scale_shift"
        self.norm1 = nn.GroupNorm(config.norm_num_groups, inputs, config.norm_eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.time_width, outputs * (2 if self.scaled else 1))
        self.norm2 = nn.GroupNorm(config.norm_num_groups, outputs, config.norm_eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)"""
        hidden = self.conv1(group_norm(x, self.norm1))
        told = self.time_emb_proj(time)
        if self.scaled:
            scale, shift = told.chunk(2, dim=1)
            hidden = group_norm(hidden, self.norm2, scaled=(scale, shift))
        else:
            hidden = group_norm(hidden, self.norm2, told)
        hidden = self.conv2(hidden)
        return hidden + (x if self.conv_shortcut is None else self.conv_shortcut(x))  # type: ignore[no-any-return]


class PlaceAttention(nn.Module):
    """Multi-head attention from places to places, or to tokens of width `keys`."""

    def __init__(self, width: int, heads: int, keys: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(keys or width, width, bias=False)
        self.to_v = nn.Linear(keys or width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Tensor, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """x: (B, M, width); tokens: (B, N, keys); bias: (B, 1, 1, N) -> (B, M, width)"""
        q, k, v = (self._split(part) for part in (self.to_q(x), self.to_k(tokens), self.to_v(tokens)))
        if bias is not None:
            bias = bias.expand(-1, self.heads, -1, -1)
        out: Tensor = self.to_out(dense_attention(q, k, v, bias, scale=q.shape[-1] ** -0.5).transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        (*rows, width) = x.shape
        return x.view(*rows, self.heads, width // self.heads).transpose(1, 2)  # (B, N, width) -> (B, heads, N, width / heads)


class GELUGate(nn.Module):
    """GEGLU (Shazeer 2020): one half times the GELU of the other."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        return gated_gelu(self.proj(x))


class GELUFeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GELUGate(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class PlaceBlock(nn.Module):
    """Self-attention, attention to the prompt, feed-forward; a norm before each."""

    def __init__(self, width: int, heads: int, keys: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = PlaceAttention(width, heads), PlaceAttention(width, heads, keys)
        self.ff = GELUFeedForward(width)

    def forward(self, x: Tensor, told: UNetConditions) -> Tensor:
        places = self.norm1(x)
        x = self.attn1(places, places) + x
        x = self.attn2(self.norm2(x), told.tokens, told.bias) + x
        out: Tensor = self.ff(self.norm3(x)) + x
        return out


class PlaceTransformer(nn.Module):
    """A transformer over the places of an image, added to it."""

    def __init__(self, config: UNetConfig, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.linear = config.use_linear_projection
        self.norm = nn.GroupNorm(config.norm_num_groups, width, 1e-6)
        self.proj_in, self.proj_out = (nn.Linear(width, width) if self.linear else nn.Conv2d(width, width, 1) for _ in "io")
        self.transformer_blocks = nn.ModuleList(PlaceBlock(width, heads, config.cross_attention_dim) for _ in range(layers))

    def forward(self, image: Tensor, told: UNetConditions) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)"""
        x: Tensor = group_norm(image, self.norm, activated=False)
        height, width = image.shape[2:]
        if not self.linear:
            x = self.proj_in(x)
        x = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, C, h, w) -> (B, h w, C)
        if self.linear:
            x = self.proj_in(x)
        for block in self.transformer_blocks:
            x = block(x, told)
        if self.linear:
            x = self.proj_out(x)
        x = x.unflatten(1, (height, width)).permute(0, 3, 1, 2)  # (B, h w, C) -> (B, C, h, w), channels last
        if image.is_contiguous():
            x = x.contiguous()
        if not self.linear:
            x = self.proj_out(x)
        return x + image


class StridedConv(nn.Module):
    """(B, C, h, w) -> (B, C, h / 2, w / 2)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class NearestConv(nn.Module):
    """(B, C, h, w) -> (B, C, *size)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, size=tuple(size), mode="nearest"))
        return out
