"""Who may see whom: bool tensors, True where a query may look. Knows places and lengths; not tokens or heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockSparseMask:
    """Block-sparse attention: the blocks nearest to a place's own, and the first ones; Zaheer et al. 2020, 2."""

    block: int  # places
    local: int  # blocks to each side that are seen, the own one included
    first: int  # blocks at the beginning that everybody sees

    def sees(self, q: Tensor, k: Tensor) -> Tensor:
        """Positions of queries and keys, broadcast against each other -> bool."""
        ours, theirs = q // self.block, k // self.block
        return ((ours - theirs).abs() < self.local) | (theirs < self.first)


def narrowed(
    q: Tensor,
    k: Tensor,
    causal: bool = False,
    window: int | None = None,
    sparse: BlockSparseMask | None = None,
    chunk: int | None = None,
) -> Tensor | None:
    """What is left to see: (N,) positions of queries, (M,) of keys -> (N, M); None: everything."""
    q, k = q[:, None], k[None, :]
    parts = [k <= q] if causal else []
    if window is not None:
        parts.append(k > q - window)
    if chunk is not None:
        parts.append(k // chunk == q // chunk)
    if sparse is not None:
        parts.append(sparse.sees(q, k))
    mask: Tensor | None = None
    for part in parts:
        mask = part if mask is None else mask & part
    return mask


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, 1, 1, size): every query sees the first `length` keys of its row."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None, None, :]


def packed_mask(documents: Tensor) -> Tensor:
    """Rows of several documents behind one another: (B, N) numbers of documents -> (B, 1, N, N), each sees itself only."""
    return (documents[:, :, None] == documents[:, None, :])[:, None]


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
