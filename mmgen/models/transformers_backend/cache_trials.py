"""What a model of transformers allows of its cache, tried on short texts that say nothing: its size, chunks, and batches.

The library does not tell. A trial that it fails, or that raises, is a "no".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from mmgen.models.transformers_backend import cache_state
from mmgen.models.transformers_backend.sequence_cache import EncodedSource, SequenceCache, Text

PROBE = (7, 11)
"""Tokens of the two texts."""


class CachedModel(Protocol):
    """What is tried."""

    model: Any  # of transformers
    encoder: Any
    config: Any

    def encode(self, ids: Sequence[int]) -> EncodedSource: ...
    def read(self, texts: Sequence[Text]) -> tuple[Tensor, Tensor | None]: ...


@dataclass(frozen=True)
class CacheSize:
    """Bytes of a text's cache: `fixed + token * length + source * length of the source`."""

    fixed: int
    token: int
    source: int

    def of(self, tokens: int, source: int) -> int:
        return self.fixed + self.token * tokens + self.source * source

    @classmethod
    def measured(cls, lm: CachedModel) -> CacheSize:
        """From what is kept of short texts."""
        sizes = [nbytes(lm, *lengths) for lengths in ((2, 4), (3, 4), (2, 5))]
        token, source = max(0, sizes[1] - sizes[0]), max(0, sizes[2] - sizes[0])
        return cls(max(0, sizes[0] - 2 * token - 4 * source), token, source)


@torch.inference_mode()
def nbytes(lm: CachedModel, length: int, source: int) -> int:
    """Of the cache of a text, read in two parts, and of what was read of its source. Raises what the model raises."""
    cache = _prepared(lm, length, source)
    ids = _text(lm.config.vocab_size, length)
    lm.read([(cache, ids[:-1])])
    lm.read([(cache, ids)])
    own = 0 if cache.source is None else cache.source.states.nbytes
    return cache_state.nbytes(cache.state) + own


def reads_in_parts(lm: CachedModel) -> bool:
    """Whether a text may be read in parts."""
    return _tried(_in_parts, lm)


def reads_together(lm: CachedModel, same_length: bool) -> bool:
    """Whether texts may be read in a batch, with results equal to alone; the shorter ones behind masked zeros."""
    return _tried(_together, lm, *((PROBE[0], PROBE[0]) if same_length else PROBE))


@torch.inference_mode()
def _tried(trial: Callable[..., bool], *arguments: Any) -> bool:
    try:
        return trial(*arguments)
    except Exception:  # whatever the library raises where it does not foresee such a pass
        return False


def _in_parts(lm: CachedModel) -> bool:
    ids, whole, parts = _text(lm.config.vocab_size, PROBE[1]), _prepared(lm, 1), _prepared(lm, 1)
    expected, _ = lm.read([(whole, ids)])
    for end in (PROBE[1] // 2, PROBE[1] - 3, PROBE[1]):
        got, _ = lm.read([(parts, ids[:end])])
    return whole.length > 0 and _alike(lm, expected, got)


def _together(lm: CachedModel, *lengths: int) -> bool:
    """Two texts of these lengths, two tokens after the other, alone and in a batch."""
    texts = [_text(lm.config.vocab_size, length + 2, seed) for seed, length in enumerate(lengths)]
    alone = [_prepared(lm, seed, 4 + 2 * seed) for seed in range(len(texts))]
    for cache, ids in zip(alone, texts, strict=True):
        lm.read([(cache, ids[:-2])])
    if len({*lengths}) > 1 and not all(cache_state.pads(part) for part in alone[0].state.values()):
        return False
    company = [cache.fork() for cache in alone]
    for end in (-1, None):
        expected = torch.cat([lm.read([(cache, ids[:end])])[0] for cache, ids in zip(alone, texts, strict=True)])
        got, _ = lm.read([(cache, ids[:end]) for cache, ids in zip(company, texts, strict=True)])
        if not _alike(lm, expected, got):
            return False
    return True


def _prepared(lm: CachedModel, seed: int, source: int = 5) -> SequenceCache:
    return SequenceCache(None if lm.encoder is None else lm.encode(_text(lm.config.vocab_size, source, seed)))


def _alike(lm: CachedModel, expected: Tensor, got: Tensor) -> bool:
    """Equal but for rounding."""
    rounding = 64 * torch.finfo(lm.model.dtype).eps if lm.model.dtype == torch.float32 else 0.05
    return bool((expected - got).abs().max() <= rounding * expected.abs().max())


def _text(vocabulary: int, length: int, seed: int = 0) -> list[int]:
    """Ids of a text that says nothing."""
    return [(17 + 31 * (at + 1) * (seed + 1)) % max(1, vocabulary - 10) + min(9, vocabulary - 1) for at in range(length)]
