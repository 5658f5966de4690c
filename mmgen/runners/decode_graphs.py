"""CUDA graphs of decoding: passes of one token of each text, recorded once per size and replayed without Python."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from mmgen.models.lm.paged.block_manager import SIZE
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.model import PagedModel
from mmgen.models.lm.paged.static_attention import StaticAttention, obstacle
from mmgen.runners.batch_forward import ChunkOutput, SequenceChunk

log = logging.getLogger(__name__)
TEXTS = (1, 2, 4, 8, 16, 24, 32, 48, 64)
"""Texts of a recorded pass; fewer are filled up with the last one, which then writes the same keys twice."""
LEAST_PLACES = 256
MOST = 1 << 17
"""Texts times places of a recorded pass: beyond that, gathering keys and values takes longer than launching kernels."""
TOLERANCE = 0.05
"""Largest difference of a recorded pass's logits from an ordinary one's, by the largest logit: bf16 by another kernel."""


class Recorder(Protocol):
    """Records what a device is told to do."""

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Runs `work` at least once -> its result, and what does all of it again, into the same tensors."""
        ...


class CUDARecorder:
    """Records CUDA graphs that share one memory pool: only one is replayed at a time, and its result copied out."""

    def __init__(self) -> None:
        self.memory: Any = None

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose kernels and take their workspaces before anything is recorded
            for _ in range(2):
                work()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph, pool=self.memory, capture_error_mode="thread_local"):
            out = work()
        self.memory = self.memory or graph.pool()
        return out, graph.replay


@dataclass(frozen=True)
class RecordedPass:
    """A pass in tensors that stay where they are."""

    inputs: Tensor  # (B, 2 + M): the token, its position and the numbers of the blocks of each text
    logits: Tensor  # (B, V)
    replay: Callable[[], None]

    def __call__(self, parts: Sequence[SequenceChunk]) -> Tensor:
        """(N, V) logits"""
        self.inputs.copy_(_inputs(parts, *self.inputs.shape))
        self.replay()
        return self.logits[: len(parts)].clone()


class DecodeGraphs:
    """Passes of one model over one pool. Where one cannot be recorded, or gives other logits, all run as before; told once."""

    def __init__(self, lm: PagedModel, recorder: Recorder) -> None:
        self.lm, self.recorder = lm, recorder
        self.refused = obstacle(lm)  # why nothing is recorded; empty: it is
        self.passes: dict[tuple[int, int], RecordedPass] = {}
        self._pool: Callable[[], KVPool | None] = lambda: None

    @classmethod
    def of(cls, lm: PagedModel) -> DecodeGraphs | None:
        """None where there are no CUDA graphs."""
        if lm.device.type != "cuda":
            return None
        if (made := cls(lm, CUDARecorder())).refused:
            log.info("decoding without CUDA graphs: %s", made.refused)
        return made

    def read(
        self, pool: KVPool, parts: Sequence[SequenceChunk], ordinary: Callable[[], list[ChunkOutput]]
    ) -> list[ChunkOutput] | None:
        """Outputs of a pass of one token of each text; None: it is none, or is not recorded.

        `ordinary`: the same pass as it runs without a graph. The first of a size is compared to it.
        """
        size = None if self.refused else bucket(parts, self.lm.config.max_tokens)
        if size is None:
            return None
        if self._pool() is not pool:  # also after a model slept: then its weights lie elsewhere
            self.passes.clear()
            self._pool = weakref.ref(pool)
        if size not in self.passes:
            expected = ordinary()
            self._add(pool, parts, size, torch.cat([one.logits for one in expected]))
            return expected
        logits = self.passes[size](parts)
        return [ChunkOutput(row, logits[:0]) for row in logits.split(1)]

    def _add(self, pool: KVPool, parts: Sequence[SequenceChunk], size: tuple[int, int], expected: Tensor) -> None:
        try:
            one = self._record(pool, parts, size)
            found = one(parts)
        except RuntimeError as why:
            self._give_up(str(why).splitlines()[0])
            return
        far = float((found.float() - expected.float()).abs().max() / expected.float().abs().max().clamp(min=1e-6))
        if far <= TOLERANCE:
            self.passes[size] = one
        else:
            self._give_up(f"logits differ by {far:.1e} of the largest")

    def _give_up(self, why: str) -> None:
        log.warning("decoding without CUDA graphs from now on: %s", why)
        self.refused = why
        self.passes.clear()

    def _record(self, pool: KVPool, parts: Sequence[SequenceChunk], size: tuple[int, int]) -> RecordedPass:
        texts, blocks = size
        inputs = _inputs(parts, texts, 2 + blocks).to(self.lm.device)
        wanted = torch.arange(texts, device=self.lm.device)

        def work() -> Tensor:
            ids, positions, tables = inputs[:, 0], inputs[:, 1], inputs[:, 2:]
            return self.lm.read(ids[None], StaticAttention(pool, tables, positions), positions, wanted, False)[1]

        return RecordedPass(inputs, *self.recorder(work))


def bucket(parts: Sequence[SequenceChunk], most: int) -> tuple[int, int] | None:
    """Texts and blocks of the smallest recorded pass that holds these, of texts of up to `most` tokens; None: there is none."""
    if any(len(one.ids) != 1 or one.wanted != 1 or one.states or one.memory is not None for one in parts):
        return None
    texts, longest = next((size for size in TEXTS if size >= len(parts)), None), max(one.table.length for one in parts) + 1
    places = min(max(LEAST_PLACES, 1 << (longest - 1).bit_length()), -(-most // SIZE) * SIZE)
    if texts is None or texts * places > MOST or longest > places:
        return None
    return texts, places // SIZE


def _inputs(parts: Sequence[SequenceChunk], texts: int, width: int) -> Tensor:
    """(texts, width) on the host."""
    rows = [[one.ids[0], one.table.length, *one.table.blocks[: width - 2]] for one in parts]
    rows = [row + [0] * (width - len(row)) for row in rows]
    return torch.tensor(rows + rows[-1:] * (texts - len(rows)))
