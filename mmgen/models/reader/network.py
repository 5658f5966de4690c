"""The grounded reader: a prefix language model that answers by copying. Knows tokens; not documents or retrieval.

A row is `[CLS] question [SEP] passage [SEP]`, seen both ways, and then `[CLS] answer`, written causally with the answer's own
segment. Over the prefix a pointer gives the place where the answer starts, with `[CLS]` for "not in this passage"; after every
answer token a stop probability says whether the span ends there. So a span i..j has the normalised probability

    P(i..j) = P(start = i) * (1 - s[i]) ... (1 - s[j-1]) * s[j]

a pointer network (Vinyals et al. 2015) with a hazard in place of an end pointer, which an exact search can bound. A language
model head, tied to the word embeddings, writes free text from the same states.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.layers.masks import branches_mask, padding_mask, prefix_mask
from mmgen.models.lm.transformer import Transformer, TransformerConfig

QUESTION, PASSAGE, ANSWER = 0, 1, 2  # segments


@dataclass
class PrefixBatch:
    """A batch of prefixes, padded to one size S. Written by `pack`, or by training's collator."""

    ids: Tensor  # (B, S)
    types: Tensor  # (B, S) segment: QUESTION or PASSAGE
    lengths: Tensor  # (B,)
    starts: Tensor  # (B, S) bool: places where an answer may start; place 0 means "not here"


class ReaderNetwork(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.transformer = Transformer(config)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.place = nn.Linear(width, 1)
        self.stop = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def joint(self, rows: PrefixBatch, answers: Tensor) -> tuple[Tensor, Tensor]:
        """One pass over prefixes and answers, for training. `answers`: (B, M) ids -> states (B, S, D), (B, M, D)."""
        size, steps = rows.ids.shape[1], answers.shape[1]
        ids = torch.cat((rows.ids, answers), 1)
        types = torch.cat((rows.types, torch.full_like(answers, ANSWER)), 1)
        ahead = torch.arange(steps, device=ids.device)
        before = torch.arange(size, device=ids.device).expand(len(ids), size)
        positions = torch.cat((before, rows.lengths[:, None] + ahead), 1)
        mask = prefix_mask(rows.lengths, size, steps)
        states = self.transformer(ids, mask, positions=positions, types=types)
        return states[:, :size], states[:, size:]

    def start(self, rows: PrefixBatch, prefix: Tensor, first: Tensor) -> Tensor:
        """log P(start) over the prefix's places: (B, S, D), (B, D) -> (B, S); -inf where none may start."""
        scores = torch.einsum("bd,bsd->bs", self.query(first), self.key(prefix)) / prefix.shape[-1] ** 0.5
        scores = scores + self.place(prefix).squeeze(-1)
        return F.log_softmax(scores.masked_fill(~rows.starts, float("-inf")), dim=-1)

    def stops(self, prefix: Tensor, states: Tensor) -> Tensor:
        """Logit that the span ends here, from the copied place's state and the answer's: (..., D), (..., D) -> (...)."""
        return self.stop(torch.cat((prefix, states), -1)).squeeze(-1)  # type: ignore[no-any-return]

    def words(self, states: Tensor) -> Tensor:
        """Logits over the vocabulary: (..., D) -> (..., V)."""
        return F.linear(self.transform(states), self.transformer.embed.words.weight, self.word_bias)

    def prefill(self, rows: PrefixBatch) -> tuple[GrowingCache, Tensor]:
        """The prefix, kept: its cache and its states (B, S, D)."""
        cache = GrowingCache()
        mask = padding_mask(rows.lengths, rows.ids.shape[1])
        prefix = self.transformer(rows.ids, mask, types=rows.types, cache=cache)
        return cache, prefix

    def branch(self, rows: PrefixBatch, cache: GrowingCache, answers: Tensor) -> Tensor:
        """States of K continuations a row, side by side behind its kept prefix: (B, K, L) ids -> (B, K, L, D)."""
        batch, branches, length = answers.shape
        positions = (rows.lengths[:, None] + torch.arange(length, device=answers.device)).repeat(1, branches)
        mask = branches_mask(rows.lengths, rows.ids.shape[1], branches, length)
        flat = answers.reshape(batch, branches * length)
        cache.frozen = True
        states = self.transformer(flat, mask, positions=positions, types=torch.full_like(flat, ANSWER), cache=cache)
        return states.view(batch, branches, length, -1)  # type: ignore[no-any-return]
