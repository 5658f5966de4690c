from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_cross_encoders

from mmgen.config import RuntimeConfig
from mmgen.ingest.loaders import load_stdin
from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime


@pytest.fixture
def rt(tmp_path: Path) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path / "home")) as made:
        yield made


def test_many_callers_get_what_one_gets(rt: Runtime, tmp_path: Path) -> None:
    client = rt.cross_encoder(str(tiny_cross_encoders.save(tmp_path / "model")))
    texts = ["sea", "lamp lamp red", "green sea"]
    scores, tokens = client.measured("red lamp", texts)
    assert tokens == 6 + 8 + 7 and scores.tolist() == [client.score("red lamp", [text])[0] for text in texts]
    assert client.score("red", []).shape == (0,)


def test_a_store_is_searched_in_its_order(rt: Runtime, tmp_path: Path) -> None:
    model = str(tiny_cross_encoders.save(tmp_path / "model"))
    library = DocumentLibrary.open(rt, tmp_path / "store")
    library.add(
        documents=[load_stdin(text, f"{n}.txt") for n, text in enumerate(["red sea", "green lamp", "lamp lamp", "sea"])]
    )
    hits = library.search("red lamp", k=2, rerank=model)
    every = {hit.passage.text: hit.score for hit in library.search("red lamp", k=4, rerank=model)}
    best = rt.cross_encoder(model).score("red lamp", list(every)).tolist()
    assert list(every.values()) == pytest.approx(sorted(best, reverse=True))
    assert [hit.score for hit in hits] == list(every.values())[:2]
    assert hits[0].scores["rerank"] == hits[0].score and "bm25" in hits[0].scores
