"""Rows of documents: each token once an epoch, positions and documents where a document begins, nothing read twice."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny_corpus
import torch

from mmgen.errors import BadRequest, BadWeights
from mmgen.training.data import packing, text_files
from mmgen.training.data.packing import PackedRows, TokenStream, prepared
from mmgen.training.recipes import tokenizer


def stream(*lengths: int) -> TokenStream:
    starts = np.cumsum([0, *lengths[:-1]])
    return TokenStream(np.arange(sum(lengths), dtype=np.uint16), starts, 100)


def test_every_token_is_a_target_once_an_epoch() -> None:
    rows = PackedRows(stream(100, 300), 16, seed=3)
    targets = torch.cat([rows.batch([n]).targets.flatten() for n in range(len(rows))])
    assert len(targets.unique()) == len(targets) == len(rows) * 16 >= 400 - 2 * 16
    again = torch.cat([rows.batch([n + len(rows)]).targets.flatten() for n in range(len(rows))])
    assert not torch.equal(targets, again)


def test_the_beginning_of_a_stream() -> None:
    part = stream(100, 300).beginning(150)
    assert len(part.tokens) == 150 and part.starts.tolist() == [0, 100] and part.bytes == 38
    assert len(stream(100, 300).beginning(0).tokens) == len(stream(100, 300).beginning(500).tokens) == 400


def test_rows_depend_on_seed_and_number_alone() -> None:
    first = PackedRows(stream(400), 16, seed=3)
    first.batch(range(40))
    for number in (7, 60):
        assert torch.equal(first.batch([number]).ids, PackedRows(stream(400), 16, seed=3).batch([number]).ids)
    assert not torch.equal(first.batch(range(5)).ids, PackedRows(stream(400), 16, seed=4).batch(range(5)).ids)


def test_a_document_that_begins_inside_a_row() -> None:
    batch = PackedRows(stream(5, 6, 30), 8, shuffled=False).batch([0, 1])
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2], [0, 1, 2, 0, 1, 2, 3, 4]]
    assert batch.documents is not None and batch.documents.tolist() == [[1] * 5 + [2] * 3, [2] * 3 + [3] * 5]
    assert torch.equal(batch.targets, batch.ids + 1)


def test_rows_of_one_document_need_no_mask() -> None:
    batch = PackedRows(stream(5, 100), 8, shuffled=False).batch([1, 2])
    assert batch.documents is None and batch.positions.tolist() == list(range(8))


def test_prepared_once(tmp_path: Path) -> None:
    every = tiny_corpus.documents(60)
    data = text_files.files(tiny_corpus.write(tmp_path / "data", every))
    path = tokenizer.save(tokenizer.train(every, vocabulary=300), tmp_path)
    train, held = prepared(data, path, 0.1, tmp_path)
    tok = packing.Tokenizer(path)
    expected, _ = text_files.split([text_files.tidy(text) for text in every], 0.1)
    bounds = [*train.starts, len(train.tokens)]
    assert [tok.decode(train.tokens[a + 1 : b].tolist()) for a, b in pairwise(bounds)] == expected
    assert set(train.tokens[train.starts].tolist()) == {0} and train.tokens.dtype == np.uint16
    assert train.bytes == sum(map(len, expected)) and len(held.starts) == 60 - len(expected)
    (folder,) = tmp_path.glob("tokens-*")
    stamp = (folder / "train.bin").stat().st_mtime_ns
    prepared(data, path, 0.1, tmp_path)
    assert (folder / "train.bin").stat().st_mtime_ns == stamp
    prepared(data, path, 0.2, tmp_path)
    assert len(list(tmp_path.glob("tokens-*"))) == 2
    (folder / "train.json").write_text("{")
    with pytest.raises(BadWeights, match=r"is damaged .*; delete it"):
        prepared(data, path, 0.1, tmp_path)


def test_too_little_text() -> None:
    with pytest.raises(BadRequest, match="the texts are 20 tokens, too few for rows of 16"):
        PackedRows(stream(20), 16)
