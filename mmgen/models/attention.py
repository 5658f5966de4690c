"""Attention and its masks. Knows heads and who may see whom; not positions, tokens or layers' order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.linear import Linear

if TYPE_CHECKING:
    from mmgen.models.cache import GrowingCache
    from mmgen.models.transformer import TransformerConfig


@dataclass(frozen=True)
class SideBySide:
    """In place of a mask: one long row is many rows of any length, each seeing itself only. Nothing is padded.

    So a row's attention is computed in the same shape, and gives the same bits, whatever stands beside it.
    """

    runs: tuple[tuple[int, int], ...]  # neighbours of equal length: how many, how long

    @classmethod
    def of(cls, lengths: Sequence[int]) -> SideBySide:
        return cls(tuple((len(list(run)), length) for length, run in groupby(lengths)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d) -> (1, heads, N, d); N is the sum of all lengths."""
        parts, at = [], 0
        for count, length in self.runs:
            shape = (q.shape[1], count, length, q.shape[3])
            run = slice(at, at + count * length)
            q_, k_, v_ = (x[0, :, run].reshape(shape).transpose(0, 1) for x in (q, k, v))
            y = F.scaled_dot_product_attention(q_, k_, v_)  # (count, heads, length, d)
            parts.append(y.transpose(1, 2).flatten(0, 1))
            at = run.stop
        return torch.cat(parts).transpose(0, 1)[None]


class Attention(nn.Module):
    """Multi-head scaled dot-product attention, `softmax(QK'/sqrt(d))V`; Vaswani et al. 2017, eq. 1."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.heads, layer
        self.qkv = Linear(config.width, 3 * config.width)  # one product instead of three
        self.out = Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | SideBySide | None, cache: GrowingCache | None = None) -> Tensor:
        """`x`: (B, N, D); `mask`: bool, True where a query may look, broadcast to (B, heads, N, keys) -> (B, N, D)."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        y = attend(q, k, v, mask)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | SideBySide | None) -> Tensor:
    """(B, heads, N, d) queries over (B, heads, M, d) keys and values -> (B, heads, N, d).

    Under mixed precision on a CPU the sums are taken in fp32: torch's bfloat16 kernel is half as fast going backward.
    """
    if isinstance(mask, SideBySide):
        return mask.attend(q, k, v)
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, 1, 1, size): every query sees the first `length` keys of its row."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None, None, :]


def prefix_mask(prefix: Tensor, size: int, answer: int) -> Tensor:
    """Who sees whom in rows of a padded prefix of `size` and then `answer` causal places -> (B, 1, N, N).

    The prefix sees itself both ways, an answer place sees the prefix and the answer up to itself:
    a prefix language model (Raffel et al. 2020, fig. 3, right). `prefix`: (B,) lengths.
    """
    total = size + answer
    place = torch.arange(total, device=prefix.device)
    in_prefix = place < prefix[:, None]  # (B, N)
    causal = (place[:, None] >= place[None, :]) & (place >= size)[None, :] & (place >= size)[:, None]
    return (in_prefix[:, None, :] | causal[None])[:, None]


def branches_mask(prefix: Tensor, size: int, branches: int, length: int) -> Tensor:
    """`branches` continuations of `length` side by side behind one kept prefix -> (B, 1, branches * length, keys).

    Each sees the prefix and itself causally, none sees another, so one pass reads them all without copying the cache.
    """
    places = torch.arange(branches * length, device=prefix.device)
    same = places[:, None] // length == places[None, :] // length
    own = same & (places[:, None] >= places[None, :])  # (K * L, K * L)
    seen = padding_mask(prefix, size).expand(-1, 1, branches * length, size)
    return torch.cat((seen, own.expand(len(prefix), 1, -1, -1)), dim=-1)
