"""What an adapter does at one layer, to the rows of a pass that take it: weight-decomposed LoRA, IA3, weights of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Base = Callable[[Tensor], Tensor]
Rows = tuple[int, int]
CHUNK = 256
"""Columns of a layer's weight that are looked at together."""


class AdapterPart(Protocol):
    """One adapter's share in one layer."""

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        """What the layer gives. `x`: (M, in) or (M,) ids; `y`: (M, out) so far; `base`: the layer itself."""
        ...


class Magnitude(nn.Module):
    """DoRA (Liu et al. 2024, eq. 5): every row of `W + scale B A` gets a learned length. Stands behind the LoRA itself."""

    gain: Tensor
    bias: Tensor

    def __init__(self, gain: Tensor, bias: Tensor) -> None:
        """`gain`: (out,) learned length by the length it would have, 1 where there is none; `bias`: (out,) of the layer."""
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("bias", bias)

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        return (y - self.bias.to(y.dtype)) * self.gain.to(y.dtype) + self.bias.to(y.dtype)


class ScaledOutput(nn.Module):
    """IA3 (Liu et al. 2022, 3.3): what a layer gives, number by number."""

    def __init__(self, gain: Tensor) -> None:
        """`gain`: (out,)"""
        super().__init__()
        self.gain = nn.Parameter(gain)

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        return y * self.gain.to(y.dtype)


class ScaledInput(nn.Module):
    """IA3 in a feed-forward: what some of a layer's rows read, number by number."""

    def __init__(self, gain: Tensor, rows: Rows) -> None:
        """`gain`: (in,)"""
        super().__init__()
        self.gain, self.rows = nn.Parameter(gain), rows

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        scaled = base(x * self.gain.to(x.dtype))
        return _put(y, self.rows, scaled[..., slice(*self.rows)])


class OwnWeights(nn.Module):
    """`modules_to_save`: some of a linear layer's rows, trained as they are."""

    def __init__(self, weight: Tensor, bias: Tensor | None, rows: Rows) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), None if bias is None else nn.Parameter(bias)
        self.rows = rows

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return _put(y, self.rows, F.linear(x, self.weight.to(x.dtype), bias).to(y.dtype))


class OwnModule(nn.Module):
    """`modules_to_save`: an embedding or a norm, trained as it is."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        return self.module(x).to(y.dtype)  # type: ignore[no-any-return]


class EmbeddingLora(nn.Module):
    """LoRA of word vectors: a row of A and all of B for each token; Hu et al. 2021, 4.1."""

    def __init__(self, down: Tensor, up: Tensor, scale: float) -> None:
        """`down`: (rank, vocabulary); `up`: (width, rank)."""
        super().__init__()
        self.down, self.up, self.scale = nn.Parameter(down), nn.Parameter(up), scale

    def apply_to(self, x: Tensor, y: Tensor, base: Base) -> Tensor:
        return y + (F.embedding(x, self.down.T) @ self.up.T).to(y.dtype) * self.scale


@torch.no_grad()
def row_norms(base: Base, size: int, added: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Lengths of the rows of a layer's weight and what is `added` to it, (out,), and its bias (out,).

    The layer is asked instead of its weights, so that they may be packed or rounded in any way. `size`: of its inputs.
    """
    bias = base(torch.zeros(1, size, device=device))[0].float()
    squares = torch.zeros_like(bias)
    for start in range(0, size, CHUNK):
        count = min(CHUNK, size - start)
        x = torch.zeros(count, size, device=device)
        x[:, start : start + count] = torch.eye(count, device=device)
        columns = base(x).float() - bias  # (count, out)
        squares += (columns + added[:, start : start + count].T.float()).square().sum(0)
    return squares.sqrt(), bias


def _put(y: Tensor, rows: Rows, values: Tensor) -> Tensor:
    if rows == (0, y.shape[-1]):
        return values
    return torch.cat((y[..., : rows[0]], values, y[..., rows[1] :]), -1)


def in_turn(parts: Sequence[AdapterPart], x: Tensor, y: Tensor, base: Base) -> Tensor:
    for part in parts:
        y = part.apply_to(x, y, base)
    return y
