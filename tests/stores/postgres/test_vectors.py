"""Vectors are compared one by one while they are few, then found by the server's HNSW index."""

from collections.abc import Iterator

import numpy as np
import pytest
from postgres_server import PostgresServer

from mmgen.errors import BadRequest
from mmgen.interfaces import Document, Passage
from mmgen.stores.postgres import driver
from mmgen.stores.postgres import vectors as vectors_module
from mmgen.stores.postgres.documents import PostgresDocumentStore

D, COUNT = 16, 1500


def unit(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


ROWS = unit(COUNT, 0)


@pytest.fixture(scope="module")
def store(postgres: PostgresServer) -> Iterator[PostgresDocumentStore]:
    """One document with all vectors, and one with a single one."""
    with PostgresDocumentStore(postgres.url("vectors"), encoder="tiny", dimension=D) as made:
        text = " ".join(f"w{number:04}" for number in range(COUNT))
        passages = [Passage(text[6 * n : 6 * n + 5], 6 * n, 6 * n + 5) for n in range(COUNT)]
        made.add(Document("/many", text, "text", "h", language="en"), passages, ROWS)
        made.add(Document("/one", "Tea.", "text", "h", language="en"), [Passage("Tea.", 0, 4)], unit(1, 9))
        yield made
    postgres.execute("DROP SCHEMA vectors CASCADE")


def expected(query: np.ndarray, k: int) -> list[int]:
    return (np.argsort(-(ROWS @ query), kind="stable")[:k] + 1).tolist()


def test_exact_then_by_hnsw(
    store: PostgresDocumentStore,
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queries = unit(20, 5)
    assert store._index.kind == "flat"
    scores, ids = store.search_many(queries, 10)
    assert ids.shape == (20, 10)
    for query, row, score in zip(queries, ids, scores, strict=True):
        mine = [number for number in row.tolist() if number <= COUNT]
        assert mine == expected(query, len(mine)) and score[0] == pytest.approx((ROWS @ query).max(), abs=1e-5)
    store.use_index("hnsw")
    with caplog.at_level("INFO", "mmgen.stores"):
        store.refresh()
        store.refresh()
    assert store._index.kind == "hnsw" and caplog.text.count("building an hnsw index over passages") == 1
    monkeypatch.setitem(driver.SETTINGS, "enable_seqscan", "off")  # so small a table is read whole otherwise
    with PostgresDocumentStore(postgres.url("vectors"), readonly=True) as indexed:
        sql = f"EXPLAIN SELECT id FROM passages ORDER BY {indexed._index.indexed} <#> ? LIMIT 5"
        assert "passages_by_vector" in str(indexed._database.all(sql, (indexed._database.vector(queries[0]),)))
        by_index = indexed.search_many(queries, 10)[1]
        assert np.mean([len({*one} & {*two}) for one, two in zip(ids.tolist(), by_index.tolist(), strict=True)]) >= 9.5
        assert len(indexed.search(vector=queries[0], method="dense", k=1000)) == 1000, "more than the index looks at by itself"
        monkeypatch.setattr(vectors_module, "EXACT_UNTIL", 0)
        assert {hit.uri for hit in indexed.search(vector=queries[0], method="dense", k=5, where=["uri=/one"])} <= {"/one"}
    store.use_index("auto")
    store.refresh()
    assert store._index.kind == "flat", "so few need no index"


def test_few_that_fit_a_filter_are_all_found(store: PostgresDocumentStore) -> None:
    store.use_index("hnsw")
    store.refresh()
    assert [hit.uri for hit in store.search(vector=unit(1, 3)[0], method="dense", k=5, where=["uri=/one"])] == ["/one"]
    store.use_index("flat")
    store.refresh()


def test_a_writer_leaves_the_index_that_its_size_asks_for(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_module, "FLAT_UNTIL", 2)
    url = postgres.url("grown")
    with PostgresDocumentStore(url, encoder="tiny", dimension=D) as made:
        for number in range(3):
            made.add(Document(f"/{number}", "Tea.", "text", "h"), [Passage("Tea.", 0, 4)], unit(1, number))
        assert made._index.kind == "flat"
    with PostgresDocumentStore(url, readonly=True) as again:
        assert again._index.kind == "hnsw" and len(again.search_many(unit(2, 1), 5)[1][0]) == 3
    postgres.execute("DROP SCHEMA grown CASCADE")


def test_what_pgvector_has_not(store: PostgresDocumentStore, postgres: PostgresServer) -> None:
    with pytest.raises(BadRequest, match="is on PostgreSQL, which has no ivf-pq; it can be auto, flat or hnsw"):
        store.use_index("ivf-pq")
    with PostgresDocumentStore(postgres.url("wide"), encoder="tiny", dimension=3000) as wide:
        with pytest.raises(BadRequest, match="vectors have 3000 dimensions, pgvector's hnsw takes 2,000"):
            wide.use_index("hnsw")
        wide.add(Document("/a", "Tea.", "text", "h"), [Passage("Tea.", 0, 4)], np.ones((1, 3000), np.float32))
        assert wide.search(vector=np.ones(3000, np.float32), method="dense")[0].score == pytest.approx(3000)
    postgres.execute("DROP SCHEMA wide CASCADE")
