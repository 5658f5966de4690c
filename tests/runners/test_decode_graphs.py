"""Recorded passes of decoding give an ordinary pass's logits, whatever was read when they were recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from recorded_operations import record
from torch import Tensor
from transformer_configs import KINDS, LLAMA, ids
from transformer_configs import model as transformer

from mmgen.models.layers.positions import Rotary
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.paged.kv_pool import KVPool
from mmgen.models.lm.paged.static_attention import obstacle
from mmgen.models.transformer_config import TransformerConfig
from mmgen.runners import batch_forward
from mmgen.runners.batch_forward import SequenceChunk
from mmgen.runners.decode_graphs import MOST, DecodeGraphs, bucket


def model(config: TransformerConfig) -> LanguageModel:
    """In fp64, which our own kernels leave to torch's: those would not be recorded."""
    return transformer(config).double()


def chunk(table: BlockTable, token: int = 3) -> SequenceChunk:
    return SequenceChunk(table, [token], 1)


class Texts:
    """Texts of different lengths in one pool, NaN where nothing was written."""

    def __init__(self, lm: LanguageModel, lengths: tuple[int, ...]) -> None:
        self.lm, self.pool = lm, KVPool(lm.config, 64, dtype=torch.float64)
        for layer in (*self.pool.keys, *self.pool.values):
            layer.fill_(float("nan"))
        self.tables = [BlockTable(0) for _ in lengths]
        for seed, (table, length) in enumerate(zip(self.tables, lengths, strict=True)):
            self.read([SequenceChunk(table, ids(length, seed=seed).tolist(), 1)])

    def read(self, parts: list[SequenceChunk], graphs: DecodeGraphs | None = None) -> Tensor:
        for part in parts:
            assert self.pool.extend(part.table, len(part.ids)) is not None
        found = None
        if graphs is not None:
            found = graphs.read(self.pool, parts, lambda: batch_forward.read(self.lm, self.pool, parts))
        if found is None:
            found = batch_forward.read(self.lm, self.pool, parts)
        for part in parts:
            part.table.length += len(part.ids)
        return torch.cat([one.logits for one in found])


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotary angles are computed there, not looked up."""
    monkeypatch.setattr(Rotary, "_looks_up", lambda self, positions: False)


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["plain", "window", "softcap", "partial", "learned"])
def test_a_replay_gives_the_logits_of_a_pass(kind: str) -> None:
    lm = model(replace(KINDS[kind], max_tokens=128))
    ours, theirs = Texts(lm, (20, 3, 7)), Texts(lm, (20, 3, 7))
    graphs = DecodeGraphs(lm, record)
    for number, count in enumerate((3, 3, 2, 3, 1, 3)):  # 3 of 4, then others, and texts grow into new blocks
        found, expected = (
            texts.read([chunk(table, 5 + number + at) for at, table in enumerate(texts.tables[:count])], made)
            for texts, made in ((ours, graphs), (theirs, None))
        )
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert not graphs.refused
    assert sorted(texts for texts, _ in graphs.passes) == [1, 2, 4]


@torch.inference_mode()
def test_a_first_pass_that_differs_is_not_replayed(caplog: pytest.LogCaptureFixture) -> None:
    texts = Texts(lm := model(LLAMA), (6,))
    graphs = DecodeGraphs(lm, lambda work: (torch.zeros_like(work()), lambda: None))
    assert texts.read([chunk(texts.tables[0])], graphs).abs().sum() > 0
    assert "logits differ" in graphs.refused
    assert "without CUDA graphs" in caplog.text
    assert not graphs.passes


@torch.inference_mode()
def test_what_cannot_be_recorded_is_told_and_runs_as_before(caplog: pytest.LogCaptureFixture) -> None:
    def failing(work: object) -> tuple[Tensor, object]:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    texts = Texts(lm := model(LLAMA), (6,))
    graphs = DecodeGraphs(lm, failing)  # type: ignore[arg-type]
    assert texts.read([chunk(texts.tables[0])], graphs).isfinite().all()
    assert graphs.refused == "operation not permitted when stream is capturing"


@torch.inference_mode()
def test_another_pool_is_recorded_anew() -> None:
    lm = model(LLAMA)
    graphs = DecodeGraphs(lm, record)
    for _ in range(2):
        texts = Texts(lm, (6,))
        for _ in range(2):
            texts.read([chunk(texts.tables[0])], graphs)
        kept = graphs.passes[1, 4]
    assert list(graphs.passes.values()) == [kept]
    assert graphs._pool() is texts.pool


def test_buckets_hold_the_texts_or_there_is_none() -> None:
    def texts(count: int, length: int) -> list[SequenceChunk]:
        return [chunk(BlockTable(0, length=length)) for _ in range(count)]

    assert bucket(texts(3, 0), 4096) == (4, 16)
    assert bucket(texts(1, 255), 4096) == (1, 16)
    assert bucket(texts(1, 256), 4096) == (1, 32)
    assert bucket(texts(1, 70), 90) == (1, 6)  # no longer than the model's own limit, in whole blocks
    assert bucket(texts(65, 0), 4096) is None
    assert bucket(texts(64, MOST // 64), 1 << 20) is None
    assert bucket([SequenceChunk(BlockTable(0), [1, 2], 1)], 4096) is None
    assert bucket([SequenceChunk(BlockTable(0), [1], 1, states=True)], 4096) is None


def test_models_that_the_host_decides_for_are_refused_with_the_reason() -> None:
    assert obstacle(model(LLAMA)) == ""
    assert "experts" in obstacle(model(KINDS["experts"]))
    assert "bias" in obstacle(model(KINDS["alibi"]))
    assert "library" in obstacle(object())
    assert DecodeGraphs.of(model(LLAMA)) is None  # on a CPU
