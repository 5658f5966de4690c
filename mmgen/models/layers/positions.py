"""Where a token stands, told to attention or added to its vector. Knows positions; not tokens or masks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgen.models.transformer_config import RopeScaling, TransformerConfig

TABLE = 8192
"""Positions whose cosines and sines are kept once they were needed."""


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the places of one forward pass, shared by its layers."""

    cos: Tensor  # (..., N, 1, R), both halves alike
    sin: Tensor  # the same, its first half negated
    query_scale: Tensor | None = None  # (..., N, 1, 1), what queries are multiplied with besides
    interleaved: bool = False  # neighbours are a pair

    def turn(self, x: Tensor) -> Tensor:
        """(B, N, heads, d) -> the same, its first R numbers turned in pairs; Su et al. 2021, eq. 34.

        Pairs are (i, i + R / 2) or, `interleaved`, (2 i, 2 i + 1).
        """
        size, cos, sin = self.cos.shape[-1], self.cos.to(x.dtype), self.sin.to(x.dtype)
        if self.interleaved:
            (even, odd), cos, sin = (
                x[..., :size].unflatten(-1, (-1, 2)).unbind(-1),
                cos[..., : size // 2],
                sin[..., size // 2 :],
            )
            turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)
            return torch.cat((turned, x[..., size:]), -1)
        if size == x.shape[-1]:
            return torch.addcmul(x * cos, x.roll(size // 2, -1), sin)
        turned, still = x[..., :size], x[..., size:]
        return torch.cat((torch.addcmul(turned * cos, turned.roll(size // 2, -1), sin), still), -1)


class Rotary:
    """Rotary frequencies of a shape, in fp32 whatever its weights are."""

    def __init__(
        self, size: int, theta: float, most: int, scaling: RopeScaling | None = None, interleaved: bool = False
    ) -> None:
        self.size, self.theta, self.scaling, self.interleaved = size, theta, scaling, interleaved
        self.original = (scaling.original if scaling else 0) or most
        plain = theta ** (-torch.arange(0, size, 2).float() / size)  # (R / 2,)
        self.frequencies, self.gain = _scaled(plain, self, most)
        self.beyond = _beyond(plain, scaling)
        self._tables: tuple[Tensor, Tensor] | None = None  # of the first positions

    @property
    def by_length(self) -> bool:
        """Whether frequencies depend on how long the text is."""
        return self.scaling is not None and self.scaling.kind in ("dynamic", "longrope")

    def __call__(self, positions: Tensor, lengths: Tensor) -> Rotation:
        """`positions`: (N,) or (B, N); `lengths`: of the text so far, broadcast to it, which counts where `by_length`."""
        if self.frequencies.device != positions.device:
            self.frequencies, self.beyond = self.frequencies.to(positions.device), self.beyond.to(positions.device)
        if self._looks_up(positions) and (last := int(positions.max())) < TABLE:
            cos, sin = (table[positions] for table in self._table(last + 1))
            return Rotation(cos, sin, self._query_scale(positions), self.interleaved)
        cos, sin = self._turns(positions, self._frequencies_at(lengths))
        return Rotation(cos, sin, self._query_scale(positions), self.interleaved)

    def _looks_up(self, positions: Tensor) -> bool:
        plain = positions.dtype is torch.int64 and positions.device.type == "cpu" and not torch.compiler.is_compiling()
        return plain and not self.by_length and positions.numel() > 0

    def _turns(self, positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[..., None] * frequencies  # (..., N, R / 2)
        cos, sin = angles.cos() * self.gain, angles.sin() * self.gain
        return torch.cat((cos, cos), -1)[..., None, :], torch.cat((-sin, sin), -1)[..., None, :]

    def _table(self, count: int) -> tuple[Tensor, Tensor]:
        """Of at least so many positions, each (P, 1, R): the same numbers, looked up instead of computed token by token."""
        if self._tables is None or len(self._tables[0]) < count:
            with torch.inference_mode(False):  # they serve passes of every kind
                self._tables = self._turns(torch.arange(max(256, 1 << (count - 1).bit_length())), self.frequencies.clone())
        return self._tables

    def _query_scale(self, positions: Tensor) -> Tensor | None:
        """None where all are 1: within the original length."""
        beta = self.scaling.attention_beta if self.scaling else 0.0
        if not beta or int(positions.max()) < self.original:
            return None
        return (1 + beta * torch.log1p(positions // self.original))[..., None, None]

    def _frequencies_at(self, lengths: Tensor) -> Tensor:
        """(R / 2,), or (..., R / 2) where they depend on the length."""
        if self.scaling is None or not self.by_length:
            return self.frequencies
        lengths = lengths[..., None]
        if self.scaling.kind == "longrope":
            return torch.where(lengths > self.original, self.beyond, self.frequencies)
        factor = self.scaling.factor
        stretch = factor * lengths.clamp(min=self.original) / self.original - (factor - 1)
        powers = torch.arange(0, self.size, 2, device=lengths.device).float() / self.size
        theta: Tensor = self.theta * stretch ** (self.size / (self.size - 2))  # "NTK-aware": Peng et al. 2023, eq. 16
        return theta**-powers


def _beyond(plain: Tensor, scaling: RopeScaling | None) -> Tensor:
    """longrope's frequencies of texts longer than the original length."""
    return plain / torch.tensor(scaling.long_factors) if scaling and scaling.kind == "longrope" else plain


def _scaled(plain: Tensor, rotary: Rotary, most: int) -> tuple[Tensor, float]:
    """Frequencies, and what cosines and sines are multiplied with."""
    scaling, original = rotary.scaling, rotary.original
    if scaling is None or scaling.kind == "dynamic":
        return plain, 1.0
    if scaling.kind == "linear":  # Chen et al. 2023
        return plain / scaling.factor, 1.0
    if scaling.kind == "llama3":
        turns = original * plain / (2 * math.pi)
        smooth = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
        return plain * ((1 - smooth) / scaling.factor + smooth), 1.0
    if scaling.kind == "longrope":  # Ding et al. 2024
        factor = most / original
        gain = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
        return plain / torch.tensor(scaling.short_factors), gain if scaling.attention is None else scaling.attention
    gain = 0.1 * math.log(scaling.factor) + 1 if scaling.factor > 1 else 1.0  # yarn: Peng et al. 2023, eq. 22
    smooth = 1 - _ramp(rotary, scaling)
    return plain * ((1 - smooth) / scaling.factor + smooth), gain if scaling.attention is None else scaling.attention


def _ramp(rotary: Rotary, scaling: RopeScaling) -> Tensor:
    """0 where a frequency turns often within the original length, 1 where it turns seldom; (R / 2,)."""

    def place(turns: float) -> float:
        return rotary.size * math.log(rotary.original / (turns * 2 * math.pi)) / (2 * math.log(rotary.theta))

    low, high = place(scaling.fast), place(scaling.slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotary.size - 1)
    return ((torch.arange(rotary.size // 2) - low) / max(high - low, 0.001)).clamp(0, 1)


def sinusoids(config: TransformerConfig) -> Tensor:
    """(max_tokens, D): sines, then cosines; Vaswani et al. 2017, 3.5, with the columns in another order."""
    half = (config.hidden_size + 1) // 2
    frequencies = 10_000.0 ** (-2 * torch.arange(half, dtype=torch.float64) / config.hidden_size)
    angles = torch.arange(config.max_tokens, dtype=torch.float64)[:, None] * frequencies
    return torch.cat((angles.sin(), angles.cos()), -1)[:, : config.hidden_size].float()


class RelativeBias(nn.Module):
    """A learned number for every head and distance, far distances sharing one; Raffel et al. 2020, 2.1."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.buckets, self.distance, self.causal = config.relative_buckets, config.relative_distance, config.causal
        self.weight = nn.Parameter(torch.randn(self.buckets, config.heads) * config.hidden_size**-0.5)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """(N,), (M,) positions -> (heads, N, M)"""
        return self.weight[self._bucket(k[None, :] - q[:, None])].permute(2, 0, 1)

    def _bucket(self, ahead: Tensor) -> Tensor:
        count, offset = self.buckets, torch.zeros_like(ahead)
        if self.causal:
            far = -ahead.clamp(max=0)
        else:
            count //= 2
            far, offset = ahead.abs(), (ahead > 0) * count
        exact = count // 2
        steps = (far.clamp(min=1).float() / exact).log() / math.log(self.distance / exact) * (count - exact)
        return offset + torch.where(far < exact, far, (exact + steps.long()).clamp(max=count - 1))


class Alibi(nn.Module):
    """Scores fall with distance, on each head by its own slope; Press et al. 2021."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.slopes = alibi_slopes(config.heads)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """(N,), (M,) positions -> (heads, N, M)"""
        return self.slopes.to(q.device)[:, None, None] * -(k[None, :] - q[:, None]).abs()


def alibi_slopes(heads: int) -> Tensor:
    """(heads,): 2^(-8/n) and its powers; where n is no power of two, every other slope of twice as many fills up."""
    whole = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (i + 1) / whole) for i in range(0, 2 * (heads - whole), 2)]
    return torch.tensor(slopes)
