"""Gated delta layers: a matrix a head that forgets and is corrected, in the place of every token's keys and values.

Yang et al. 2024, "Gated Delta Networks". A head's memory S (key, value) at a token with key k, value v, decay a and step b:
S' = a S + b k (v - a S^T k)^T, and the head gives S'^T q (eq. 10). Many tokens are read in chunks, by the products of sec. 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import sigmoid, silu
from mmgen.models.cpu.linear import Linear
from mmgen.models.transformer_config import TransformerConfig

CHUNK = 64
"""Tokens that are read by one system of equations."""


class RecurrentState(NamedTuple):
    """What a layer keeps of a text. Never written to: each pass makes a new one."""

    inputs: Tensor  # (B, C, kernel - 1): the last that the convolution saw
    memory: Tensor  # (B, heads, key, value), fp32


Scan = Callable[[Tensor, RecurrentState | None], tuple[Tensor, RecurrentState]]
"""(B, N, C) of the next tokens of B texts, and their state so far -> (B, N, D) and the state behind them."""


@runtime_checkable
class RecurrentBackend(Protocol):
    """What a recurrent layer asks of an attention backend: it knows which places are one text, and keeps the states."""

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, D), where every text went through `scan` by itself."""
        ...


class GatedDeltaNet(nn.Module):
    """One layer, with its projections, a short convolution over the tokens before, and a gated norm of what heads give."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        delta = config.delta
        assert delta is not None
        self.layer, self.delta = layer, delta
        self.sizes = (delta.convolved, delta.value_heads * delta.value_dim, delta.value_heads, delta.value_heads)
        self.inputs = Linear(config.hidden_size, sum(self.sizes), bias=False)  # queries, keys and values; gates; steps; decays
        self.conv = nn.Conv1d(delta.convolved, delta.convolved, delta.kernel, groups=delta.convolved, bias=False)
        self.log_decay = nn.Parameter(torch.empty(delta.value_heads).uniform_(0.01, 16).log())
        self.decay_bias = nn.Parameter(torch.ones(delta.value_heads))
        self.norm = GatedNorm(delta.value_dim, config.norm_eps)
        self.out = Linear(delta.value_heads * delta.value_dim, config.hidden_size, bias=False)

    def forward(self, x: Tensor, attending: object) -> Tensor:
        """(B, N, D) -> (B, N, D)"""
        assert isinstance(attending, RecurrentBackend), "this backend keeps no states"
        return self.out(attending.recur(self.layer, self.scan, self.inputs(x)))  # type: ignore[no-any-return]

    def scan(self, x: Tensor, state: RecurrentState | None) -> tuple[Tensor, RecurrentState]:
        """See `Scan`: (B, N, C) that `inputs` gave -> (B, N, heads * value)."""
        delta, (mixed, gate, step, rate) = self.delta, x.split(self.sizes, -1)
        mixed, inputs = self._convolved(mixed.mT, state)
        heads, size = delta.key_heads, delta.key_heads * delta.key_dim
        q, k, v = mixed.mT.float().split((size, size, delta.value_heads * delta.value_dim), -1)
        q, k = (_unit(one.unflatten(-1, (heads, -1))).repeat_interleave(delta.value_heads // heads, 2) for one in (q, k))
        v = v.unflatten(-1, (delta.value_heads, -1))
        decays = -self.log_decay.float().exp() * F.softplus(rate.float() + self.decay_bias)
        rows = (q * delta.key_dim**-0.5, k, v, decays[..., None], sigmoid(step.float())[..., None])
        chunks = zip(*(one.transpose(1, 2).split(CHUNK, 2) for one in rows), strict=True)
        memory = x.new_zeros(len(x), delta.value_heads, delta.key_dim, delta.value_dim, dtype=torch.float32)
        memory, given = memory if state is None else state.memory, []
        for chunk in chunks:
            y, memory = _read(memory, *chunk)
            given.append(y)
        y = torch.cat(given, 2).transpose(1, 2).to(x.dtype)  # (B, N, heads, value)
        return self.norm(y, gate.unflatten(-1, (delta.value_heads, -1))).flatten(2), RecurrentState(inputs, memory)

    def _convolved(self, x: Tensor, state: RecurrentState | None) -> tuple[Tensor, Tensor]:
        """(B, C, N) -> the same with the tokens before it in each, and the last that the next tokens will need."""
        before = self.delta.kernel - 1
        x = F.pad(x, (before, 0)) if state is None else torch.cat((state.inputs, x), 2)
        return silu(self.conv(x)), x[..., x.shape[2] - before :].clone()


class GatedNorm(nn.Module):
    """`rms_norm(y) * weight * silu(gate)` over each head."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, y: Tensor, gate: Tensor) -> Tensor:
        """(B, N, heads, value) twice"""
        normed = F.rms_norm(y.float(), y.shape[-1:], None, self.eps).to(y.dtype)
        return ((self.weight * normed).float() * silu(gate.float())).to(y.dtype)


def _read(memory: Tensor, q: Tensor, k: Tensor, v: Tensor, decay: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """A chunk of n tokens: memory (B, heads, key, value), q and k (.., n, key), v (.., n, value), log decay and step (.., n, 1)
    -> what the heads give (.., n, value), and the memory behind it.

    What each token writes depends on what those before it wrote: a triangular system of equations.
    """
    since = decay.cumsum(2)  # log of what is left of the memory that there was before the chunk
    later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1)
    left = (since - since.mT).masked_fill(later, float("-inf")).exp()  # (.., n, n): of a token's writing, at a later one
    scaled, since = k * step, since.exp()
    wanted = torch.cat((v * step, scaled * since), -1)
    if q.shape[2] > 1:
        wanted = torch.linalg.solve_triangular((scaled @ k.mT) * left, wanted, upper=False, unitriangular=True)
    values, keys = wanted.split((v.shape[-1], k.shape[-1]), -1)
    written = values - keys @ memory
    y = (q * since) @ memory + ((q @ k.mT) * left) @ written
    return y, memory * since[..., -1:, :] + (k * left[..., -1:, :].mT).mT @ written


def _unit(x: Tensor) -> Tensor:
    """Each head's vector at unit length."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
