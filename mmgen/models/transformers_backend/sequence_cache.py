"""What is kept of each text while transformers runs it with the library's own cache. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mmgen.models.transformers_backend import cache_state

Text = tuple["SequenceCache", Sequence[int]]
"""What is known of a text, and all of its ids."""


@dataclass(frozen=True, eq=False)
class EncodedSource:
    """What a decoder reads of its source."""

    out: Any  # of the encoder, a batch of one

    @property
    def states(self) -> Tensor:
        """(1, M, D)"""
        return self.out[0]  # type: ignore[no-any-return]

    @property
    def length(self) -> int:
        return self.states.shape[1]


@dataclass(eq=False)
class Stack:
    """Texts that were read in one batch, and their common cache: it is parted only when they go separate ways."""

    sequences: tuple[SequenceCache, ...]
    state: dict[str, Any]


@dataclass(eq=False)
class SequenceCache:
    """One text's cache. Written by `OwnCacheLM` alone."""

    source: EncodedSource | None = None
    length: int = 0  # tokens that it knows
    own: dict[str, Any] = field(default_factory=dict)  # by the name under which forward takes it; empty while in a stack
    stack: Stack | None = None
    seen: Mapping[str, Tensor] = field(default_factory=dict)  # what is read with its first tokens, such as pixels of images
    offset: Tensor | None = None  # (axes, 1, 1) rotary positions less the numbers of its tokens, where images take several axes

    @property
    def state(self) -> dict[str, Any]:
        """Its own, taken out of its stack."""
        if self.stack is not None:
            at, source = self.stack.sequences.index(self), 0 if self.source is None else self.source.length
            self.own = cache_state.row(self.stack.state, at, self.length, source)
            self.stack = None
        return self.own

    def fork(self) -> SequenceCache:
        return SequenceCache(self.source, self.length, cache_state.clone(self.state), seen=self.seen, offset=self.offset)

    def forget(self) -> None:
        """All is to be read again: a forward pass failed, which may have changed a part of it."""
        self.length, self.own, self.stack = 0, {}, None
