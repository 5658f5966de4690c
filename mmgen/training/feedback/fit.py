"""Fits a reader's span adapter. The transformer stays: its states are computed once, and each step trains the heads alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmgen.models.reader.model import AnswerRow, ReaderModel
from mmgen.models.reader.span_adapter import SpanAdapter
from mmgen.models.reader.span_heads import SpanHeads
from mmgen.training.feedback.examples import ReadingExample, ReadingRow

if TYPE_CHECKING:
    from mmgen.clients.reader import ReaderClient

AT_ONCE = 8
"""Rows whose states are computed between two turns of the engine."""


@dataclass(frozen=True)
class AdapterSettings:
    rank: int = 8
    steps: int = 200
    batch: int = 16  # rows of feedback a step, and as many general ones
    rate: float = 2e-3  # of AdamW, falling to 0 along a cosine
    weight_decay: float = 0.01
    keep: float = 1.0  # weight of KL(reader without, with the adapter) over starts in general passages
    passages: int = 3  # of a question, at most
    seed: int = 0


@dataclass(frozen=True)
class StateRow:
    """One passage as the span heads see it: N tokens of the prefix, of which M are the answer."""

    prefix: Tensor  # (N, D)
    states: Tensor  # (1 + M, D)
    allowed: Tensor  # (N,) bool: where an answer may start
    first: int  # place of the answer's first token in the prefix; 0: no answer
    ends: Tensor  # (M,) bool: where a span may end; not within a word, nor at the passage's last token, where it must
    wrong: bool


def training_rows(client: ReaderClient, examples: Sequence[ReadingExample], settings: AdapterSettings) -> list[StateRow]:
    """States of the passages of each question, those with a span first. Spans that the reader cannot give are left out."""
    model: ReaderModel = client.model
    wanted: list[tuple[AnswerRow, ReadingRow]] = []
    for example in examples:
        rows = sorted(example.rows, key=lambda row: row.span is None)[: settings.passages]
        pairs = model.pairs(model.asked(example.question)[0], [row.text for row in rows])
        for pair, row in zip(pairs, rows, strict=True):
            tokens = None if row.span is None else _tokens(pair.passage.spans, *row.span)
            if row.span is None or (tokens is not None and tokens[1] - tokens[0] <= model.longest_answer):
                wanted.append((AnswerRow(pair, tokens), row))
    out = []
    for at in range(0, len(wanted), AT_ONCE):
        part = wanted[at : at + AT_ONCE]
        found = client.states([one for one, _ in part])
        out += [_row(model, *both, *states) for both, states in zip(part, found, strict=True)]
    return [row for row in out if row.allowed[row.first]]


def fit(client: ReaderClient, rows: Sequence[StateRow], general: Sequence[StateRow], settings: AdapterSettings) -> SpanAdapter:
    """Maximum likelihood of the right spans and of "no answer", and unlikelihood (Welleck et al. 2019, eq. 4) of spans that are
    wrong; on general passages also learning without forgetting (Li and Hoiem 2016), by the KL divergence of the starts."""
    heads, rng = _heads(client.model), random.Random(settings.seed)
    torch.manual_seed(settings.seed)
    adapter = SpanAdapter(rows[0].prefix.shape[1], settings.rank)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    new, old = _turns(rows, rng, settings.batch), _turns(general, rng, settings.batch)
    for _ in range(settings.steps):
        optimizer.zero_grad()
        loss = _loss(heads, adapter, next(new))[0]
        if general:
            batch = next(old)
            again, now = _loss(heads, adapter, batch)
            with torch.no_grad():
                before = _starts(heads, None, batch)
            loss = loss + again + settings.keep * _divergence(before, now)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return adapter.requires_grad_(False)


def _turns(rows: Sequence[StateRow], rng: random.Random, size: int) -> Iterator[list[StateRow]]:
    """Batches without end, every row once in each round."""
    left: list[StateRow] = []
    while True:
        while len(left) < size:
            left += rng.sample(rows, len(rows))
        yield left[:size]
        del left[:size]


def _loss(heads: SpanHeads, adapter: SpanAdapter, rows: Sequence[StateRow]) -> tuple[Tensor, Tensor]:
    """The mean loss, and the log-probabilities of the starts."""
    starts = _starts(heads, adapter, rows)
    chosen = starts[torch.arange(len(rows)), torch.tensor([row.first for row in rows])]
    total = starts.new_zeros(())
    for row, start in zip(rows, chosen, strict=True):
        span = start if not row.first else start + _length(heads, adapter, row)
        total = total + (-torch.log1p(-span.exp().clamp(max=1 - 1e-6)) if row.wrong else -span)
    return total / len(rows), starts


def _starts(heads: SpanHeads, adapter: SpanAdapter | None, rows: Sequence[StateRow]) -> Tensor:
    """(B, S)"""
    lengths = torch.tensor([len(row.prefix) for row in rows])
    prefix = pad_sequence([row.prefix for row in rows], batch_first=True)
    allowed = pad_sequence([row.allowed for row in rows], batch_first=True)
    first = torch.stack([row.states[0] for row in rows])
    return heads.start_log_probs(lengths, allowed, prefix, first, [adapter] * len(rows))


def _length(heads: SpanHeads, adapter: SpanAdapter, row: StateRow) -> Tensor:
    """log P(the answer's length | its start); see network.py."""
    size = len(row.states) - 1
    copied = row.prefix[row.first : row.first + size]
    logits = heads.stops(copied[None], row.states[None, 1:], [adapter])[0]
    goes_on = F.logsigmoid(-logits[:-1])[row.ends[:-1]].sum()
    return goes_on + F.logsigmoid(logits[-1]) * row.ends[-1]


def _divergence(before: Tensor, now: Tensor) -> Tensor:
    """KL(before, now) of rows of log-probabilities, some -inf in both: mean over the rows."""
    kept = before.isfinite()
    ratio = torch.where(kept, before - now.masked_fill(~kept, 0.0), torch.zeros_like(now))
    return (before.exp() * ratio).sum() / len(before)


def _tokens(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """The first token, and the last + 1, of characters of a passage; None where it was truncated before them."""
    inside = [n for n, (a, b) in enumerate(spans) if a < end and b > start]
    return (inside[0], inside[-1] + 1) if inside and spans[inside[-1]][1] >= end else None


def _row(model: ReaderModel, answer: AnswerRow, row: ReadingRow, prefix: Tensor, states: Tensor) -> StateRow:
    packed, (offset,) = model.pack([answer.pair])
    first, last = (0, 0) if answer.tokens is None else answer.tokens
    ids = answer.pair.passage.ids
    ends = [at + 1 < len(ids) and not bool(model.continues[ids[at + 1]]) for at in range(first, last)]
    place = 0 if answer.tokens is None else offset + first
    allowed = packed.starts[0].cpu().clone()
    return StateRow(prefix.clone(), states.clone(), allowed, place, torch.tensor(ends, dtype=torch.bool), row.wrong)


def _heads(model: ReaderModel) -> SpanHeads:
    """The reader's span heads, to compute gradients through."""
    heads = SpanHeads(model.reader.transformer.config.hidden_size)
    own = model.reader.state_dict()
    heads.load_state_dict({name: own[name].detach().float().cpu().clone() for name in heads.state_dict()})
    return heads.requires_grad_(False).eval()
