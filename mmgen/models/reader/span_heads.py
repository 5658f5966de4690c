"""What the reader makes of hidden states: where an answer starts and ends. Rows of one batch can have adapters of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import product
from mmgen.models.cpu.linear import Linear
from mmgen.models.reader.span_adapter import SpanAdapter

Adapted = Sequence[SpanAdapter | None]
"""The adapter of each row; empty: no row has one."""


class SpanHeads(nn.Module):
    """The start pointer and the stop head; see network.py for the distribution they give."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.add_heads(width)

    def add_heads(self, width: int) -> None:
        self.query, self.key = Linear(width, width), Linear(width, width)
        self.place = Linear(width, 1)  # bias of the start pointer by the position's state alone
        self.stop = nn.Sequential(Linear(2 * width, width), nn.GELU(), Linear(width, 1))

    def start_log_probs(
        self, lengths: Tensor, allowed: Tensor, prefix: Tensor, first: Tensor, adapters: Adapted = ()
    ) -> Tensor:
        """log P(start) over the prefix: (B,) lengths, (B, S) where an answer may start, states (B, S, D), state of the answer's
        [CLS] (B, D) -> (B, S).

        -inf where no answer may start.
        """
        asked = _adapted(self.query(first), adapters, lambda adapter, rows: adapter.query(first[rows]))
        read = product(asked, self.key.weight.T.contiguous())  # (B, D): q (K x) is (q K) x, without a product for each place
        read = _adapted(read, adapters, lambda adapter, rows: adapter.key(asked[rows]))
        bias = _adapted(self.place(prefix).squeeze(-1), adapters, lambda adapter, rows: adapter.place(prefix[rows]))
        scores = (read[:, None] * prefix).sum(-1) + (asked * self.key.bias).sum(-1, keepdim=True)
        scores = (scores / prefix.shape[-1] ** 0.5 + bias).masked_fill(~allowed, float("-inf"))
        own = [F.log_softmax(row[:length], 0) for row, length in zip(scores, lengths.tolist(), strict=True)]
        size = prefix.shape[1]  # a row is normalised at its own length, so that padding changes no bit of it
        return torch.stack([F.pad(row, (0, size - len(row)), value=float("-inf")) for row in own])

    def stops(self, prefix: Tensor, states: Tensor, adapters: Adapted = ()) -> Tensor:
        """Logits that the span ends at a token, from its state in the prefix and in the answer: (..., D), (..., D) -> (...).

        `adapters`: of the first dimension's rows.
        """
        both = torch.cat((prefix, states), -1)
        inner = _adapted(self.stop[0](both), adapters, lambda adapter, rows: adapter.stop(both[rows]))
        inner = self.stop[1](inner)
        out = self.stop[2](inner).squeeze(-1)
        return _adapted(out, adapters, lambda adapter, rows: adapter.end(inner[rows]))


def _adapted(y: Tensor, adapters: Adapted, change: Callable[[SpanAdapter, Tensor], Tensor]) -> Tensor:
    """`y` with what each adapter adds to its rows: `change(adapter, numbers of the rows)`."""
    for adapter in dict.fromkeys(one for one in adapters if one is not None):
        rows = torch.tensor([n for n, one in enumerate(adapters) if one is adapter], device=y.device)
        y = y.index_put((rows,), y[rows] + change(adapter, rows))
    return y
