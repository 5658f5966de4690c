"""The grounded reader's network: a prefix language model whose answers are copied from the passage.

A row is the prefix `[CLS] question [SEP] passage [SEP]` with bidirectional attention, followed by `[CLS] answer` with causal
attention and a segment id of its own. A pointer over the prefix gives the distribution of the answer's first token, where
`[CLS]` means "no answer in this passage"; at every answer token a stop probability s says whether the span ends there. So a
span i..j has the normalised probability

    P(i..j) = P(start = i) * (1 - s[i]) ... (1 - s[j-1]) * s[j]

This is a pointer network (Vinyals et al. 2015) with a discrete hazard instead of a second pointer to the end, so that
P(start = i) is an upper bound for every span from i; span_search.py relies on it. A language-model head, tied to the word
embeddings, generates free text from the same hidden states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant import product
from mmgen.models.cpu.linear import Linear
from mmgen.models.layers.masks import prefix_mask
from mmgen.models.lm.transformer import Transformer, TransformerConfig
from mmgen.models.reader.prefix_attention import AnswerAttention, PrefixAttention
from mmgen.models.reader.span_heads import Adapted, SpanHeads

QUESTION, PASSAGE, ANSWER = 0, 1, 2  # segment ids (token types)


@dataclass
class PrefixBatch:
    """A batch of prefixes, right-padded to S tokens. Made by `ReaderModel.pack`, or by training's collator."""

    ids: Tensor  # (B, S)
    types: Tensor  # (B, S) segment ids: QUESTION or PASSAGE
    lengths: Tensor  # (B,) tokens without padding
    starts: Tensor  # (B, S) bool: positions where an answer may start; position 0, the [CLS], means "no answer"


class ReaderNetwork(SpanHeads):
    """A transformer encoder with a start pointer, a stop head and a language-model head; see the module's docstring."""

    def __init__(self, config: TransformerConfig, verifier: bool = False) -> None:
        """`verifier`: with a head that judges a span once it is read; readers of earlier releases have none."""
        nn.Module.__init__(self)
        width = config.hidden_size
        self.transformer = Transformer(config)
        self.add_heads(width)
        self.transform = nn.Sequential(Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.verifier = nn.Sequential(Linear(3 * width, width), nn.GELU(), Linear(width, 1)) if verifier else None

    def joint(self, rows: PrefixBatch, answers: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass over prefixes and answers, for training: (B, M) answer ids -> states (B, S, D) and (B, M, D)."""
        size, steps = rows.ids.shape[1], answers.shape[1]
        ids = torch.cat((rows.ids, answers), 1)
        types = torch.cat((rows.types, torch.full_like(answers, ANSWER)), 1)
        within = torch.arange(size, device=ids.device).expand(len(ids), size)
        behind = rows.lengths[:, None] + torch.arange(steps, device=ids.device)  # answers follow the prefix, not its padding
        positions = torch.cat((within, behind), 1)
        mask = prefix_mask(rows.lengths, size, steps)
        states = self.transformer(ids, mask, positions=positions, types=types)
        return states[:, :size], states[:, size:]

    def start(self, rows: PrefixBatch, prefix: Tensor, first: Tensor, adapters: Adapted = ()) -> Tensor:
        """log P(start) over the prefix, see `SpanHeads.start_log_probs`: states (B, S, D), (B, D) -> (B, S)."""
        return self.start_log_probs(rows.lengths, rows.starts, prefix, first, adapters)

    def verified(self, prefix: Tensor, states: Tensor, first: Tensor) -> Tensor:
        """Logits that a span answers the question: its last token's state in the prefix, the same in the answer, and that of
        the answer's [CLS], each (..., D) -> (...). The second look of Retro-Reader (Zhang et al. 2021), at the span found."""
        assert self.verifier is not None, "this reader has no verifier"
        return self.verifier(torch.cat((prefix, states, first), -1)).squeeze(-1)  # type: ignore[no-any-return]

    def words(self, states: Tensor) -> Tensor:
        """Logits over the vocabulary: (..., D) -> (..., V)."""
        return product(self.transform(states), self.transformer.embed.words.weight, self.word_bias)

    def prefill(self, rows: PrefixBatch) -> tuple[PrefixAttention, Tensor]:
        """Runs the prefixes, each at its own length: their keys and values, and their hidden states (B, S, D), zero behind a
        row's end."""
        places = torch.arange(rows.ids.shape[1], device=rows.ids.device).expand_as(rows.ids)
        inside = places < rows.lengths[:, None]
        cache = PrefixAttention(rows.lengths.tolist())
        states = self.transformer(rows.ids[inside][None], cache, positions=places[inside], types=rows.types[inside][None])[0]
        prefix = states.new_zeros(*rows.ids.shape, states.shape[-1])
        prefix[inside] = states
        return cache, prefix

    def continuations(self, rows: PrefixBatch, cache: PrefixAttention, of: Sequence[int], answers: Tensor) -> Tensor:
        """Hidden states of P answers in one pass over the cached prefixes `of` rows: (P, L) ids -> (P, L, D).

        Answers do not attend to each other. The cache is left as it was.
        """
        count, length = answers.shape
        positions = rows.lengths[torch.tensor(of, device=answers.device), None] + torch.arange(length, device=answers.device)
        attending, flat = AnswerAttention(cache, of, length), answers.reshape(1, -1)
        types = torch.full_like(flat, ANSWER)
        states = self.transformer(flat, attending, positions=positions.flatten(), types=types)
        return states.view(count, length, -1)  # type: ignore[no-any-return]
