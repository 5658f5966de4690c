"""Several answers to one prompt in a row that holds the prompt once: each attends to the prompt and to itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmgen.models.layers.attention import AttentionRules
from mmgen.models.layers.gated_delta import Scan
from mmgen.models.layers.sdpa import attention_weights, dot_product, weighted
from mmgen.training.chunked_cross_entropy import IGNORED

ROUNDED = 64
"""Tokens of a row are filled up to a multiple: oneDNN makes and keeps kernels for every new number of rows."""


@dataclass(frozen=True)
class PromptGroup:
    """A prompt and its answers, one behind the other."""

    first: int  # place of the prompt's first token in the row
    sizes: tuple[int, ...]  # tokens of the prompt, and of each answer without its last

    @property
    def places(self) -> slice:
        return slice(self.first, self.first + sum(self.sizes))


@dataclass(frozen=True)
class SharedPrompts:
    """An `AttentionBackend` over one row (1, N) of prompts and their answers, made for each forward pass.

    States are those of every answer behind a prompt of its own, to rounding: what stands before a token is the same.
    """

    ids: Tensor  # (1, N)
    positions: Tensor  # (N,), those of an answer go on from its prompt's
    wanted: Tensor  # (W,) places of the tokens before each answer's tokens, answer by answer
    branches: Tensor  # (N,) 0 in prompts, from 1 on in the answers to one
    groups: tuple[PromptGroup, ...]
    masks: dict[tuple[object, ...], Tensor] = field(default_factory=dict)  # layers of one kind share those of a group

    @classmethod
    def of(cls, ids: Tensor, targets: Tensor) -> SharedPrompts:
        """(B, N) ids and their next tokens, IGNORED outside the answers; neighbours with one prompt share it."""
        learned = (targets != IGNORED).cpu()
        starts, counts = learned.int().argmax(1).tolist(), learned.sum(1).tolist()
        rows, groups, at, before = ids.tolist(), list[PromptGroup](), 0, list[int]()
        kept, positions, branches, wanted = list[int](), list[int](), list[int](), list[int]()
        for row, start, count in zip(rows, starts, counts, strict=True):
            prompt = row[: start + 1]
            if prompt == before:
                groups[-1] = PromptGroup(groups[-1].first, (*groups[-1].sizes, max(0, count - 1)))
            else:
                before, at = prompt, len(kept)
                groups.append(PromptGroup(at, (len(prompt), max(0, count - 1))))
                kept += prompt
                positions += range(len(prompt))
                branches += [0] * len(prompt)
            if count:
                wanted += [at + start, *range(len(kept), len(kept) + count - 1)]
            kept += row[start + 1 : start + count]
            positions += range(start + 1, start + count)
            branches += [len(groups[-1].sizes) - 1] * (count - 1)
        if empty := -len(kept) % ROUNDED:
            groups.append(PromptGroup(len(kept), (empty,)))
            kept += [0] * empty
            positions += [0] * empty
            branches += [0] * empty
        made = (torch.tensor(one, device=ids.device) for one in (kept, positions, wanted, branches))
        packed, places, asked, numbers = made
        return cls(packed[None], places, asked, numbers, tuple(groups))

    def attend(self, rules: AttentionRules, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(1, heads, N, d), (1, kv_heads, N, d) twice -> (1, heads, N, d)"""
        narrow = q.device.type == "cpu" and q.dtype == torch.bfloat16  # as in packed_attention.py
        scale, softcap, found = rules.scale, rules.softcap, []
        for number, group in enumerate(self.groups):
            q_, k_, v_ = (x[:, :, group.places] for x in (q, k, v))
            mask = self._mask(rules, number, q.dtype)
            if narrow:
                weights = attention_weights(q_, k_, mask, scale=scale, softcap=softcap, sinks=rules.sinks)
                found.append(weighted(weights, v_))
            else:
                found.append(dot_product(q_, k_, v_, mask, scale=scale, softcap=softcap, sinks=rules.sinks))
        return torch.cat(found, 2)

    def recur(self, layer: int, scan: Scan, x: Tensor) -> Tensor:
        """See `RecurrentBackend`: answers go on from their prompt's state."""
        found = []
        for group in self.groups:
            prompt, *answers = x[:, group.places].split(list(group.sizes), 1)
            read, state = scan(prompt, None)
            found += [read, *(scan(answer, state)[0] for answer in answers if answer.shape[1])]
        return torch.cat(found, 1)

    def _mask(self, rules: AttentionRules, number: int, dtype: torch.dtype) -> Tensor:
        """Added to the scores of a group: (n, n), or (heads, n, n)."""
        key = (rules.kind, number)
        if key not in self.masks:
            group = self.groups[number].places
            places, branches = self.positions[group], self.branches[group]
            seen = (branches == 0) | (branches[:, None] == branches)
            mask, least = rules.mask(places, places), torch.finfo(dtype).min
            if mask is None:
                mask = torch.ones_like(seen)
            if mask.dtype == torch.bool:
                seen = seen & mask
                self.masks[key] = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, least)
            else:
                self.masks[key] = mask.to(dtype).masked_fill(~seen, least)
        return self.masks[key]
