"""Attention and its masks. Knows heads and who may see whom; not positions, tokens or layers' order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from mmgen.models.cache import GrowingCache
    from mmgen.models.transformer import TransformerConfig


class Attention(nn.Module):
    """Multi-head scaled dot-product attention, `softmax(QK'/sqrt(d))V`; Vaswani et al. 2017, eq. 1."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.heads, layer
        self.qkv = nn.Linear(config.width, 3 * config.width)  # one product instead of three
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor | None, cache: GrowingCache | None = None) -> Tensor:
        """`x`: (B, N, D); `mask`: bool, True where a query may look, broadcast to (B, heads, N, keys) -> (B, N, D)."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D / heads)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        y = attend(q, k, v, mask)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """(B, heads, N, d) queries over (B, heads, M, d) keys and values -> (B, heads, N, d).

    Under mixed precision on a CPU the sums are taken in fp32: torch's bfloat16 kernel is half as fast going backward.
    """
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
