"""The words of a PostgreSQL store are found, and scored, as SQLite's FTS5 finds and scores them."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore
from mmgen.stores.postgres.documents import PostgresDocumentStore

SAID = {
    "en": "lamp light sea keeper stone tower night ship storm oil wick glass harbour signal keepers lights shining",
    "de": "Krankenversicherung Beitrag Versicherungsbeitrag Haus Häuser Leuchtturm Wärter Turm Krankenhaus Dampfschifffahrt",
    "fr": "impôt lumière phare gardien mer tempête navire verre huile nuit",
    "zh": "预算志愿者茶叶灯塔守护人海洋石头夜晚船只风暴",
    "ja": "灯台の光は海を照らしています船は夜に港へ帰ります",
    "th": "ประภาคารส่องแสงเหนือทะเลในคืนที่มีพายุ",
    "ru": "маяк свет море хранитель башня ночь корабль буря ёлка",
}
ASKED = (
    "lamp", "the keepers' lights", "storm AND glass", "Beitrag", "Versicherungsbeitrag Krankenhaus", "Haus", "Turm Wärter",
    "impot", "灯塔", "茶", "灯", "光は", "ทะเล", "ท", "елка маяк", "light 灯台 Haus mer", "nothing of this sort", "?!",
)  # fmt: skip


def text(rng: random.Random, language: str) -> str:
    spaced = " " in SAID[language]
    parts = SAID[language].split() if spaced else [SAID[language][at : at + 3] for at in range(0, len(SAID[language]), 2)]
    return (" " if spaced else "").join(rng.choice(parts) for _ in range(rng.randrange(3, 40)))


@pytest.fixture(scope="module")
def both(postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DocumentStore, PostgresDocumentStore]]:  # type: ignore[no-untyped-def]
    """The same 140 documents, of which some went again."""
    rng, folder = random.Random(7), tmp_path_factory.mktemp("words")
    with (
        DocumentStore(folder / "s", encoder="tiny", dimension=2) as lite,
        PostgresDocumentStore(postgres.url("words"), encoder="tiny", dimension=2) as server,
    ):
        rows = []
        for number in range(140):
            language = list(SAID)[number % len(SAID)]
            said = text(rng, language)
            document = Document(f"/{number}", said, "text", "h", metadata={"odd": number % 2}, language=language)
            rows.append((document, [Passage(said, 0, len(said))], np.ones((1, 2), np.float32)))
        for store in (lite, server):
            store.add_many(rows)
            for number in range(0, 140, 9):
                store.remove(f"/{number}")
        yield lite, server
    postgres.execute("DROP SCHEMA words CASCADE")


@pytest.mark.parametrize("query", ASKED)
@pytest.mark.parametrize("where", [(), ["odd=1"]])
def test_every_score_is_the_same(
    both: tuple[DocumentStore, PostgresDocumentStore], query: str, where: list[str], tmp_path: Path
) -> None:
    expected, found = (store.search(query, method="bm25", k=500, where=where) for store in both)
    assert {hit.uri: hit.score for hit in found} == pytest.approx({hit.uri: hit.score for hit in expected}, rel=1e-9)
    assert sorted(hit.score for hit in found) == pytest.approx(sorted(hit.score for hit in expected), rel=1e-9)


def test_queries_are_of_use(both: tuple[DocumentStore, PostgresDocumentStore]) -> None:
    found = [len(both[0].search(query, method="bm25", k=500)) for query in ASKED]
    assert sum(count > 5 for count in found) >= 12 and min(found) == 0


def test_what_went_left_no_posting(both: tuple[DocumentStore, PostgresDocumentStore]) -> None:
    database = both[1]._database
    for table in ("passages_words", "passages_pieces"):
        assert database.one(f"SELECT count(*) FROM {table} WHERE id NOT IN (SELECT id FROM passages)") == (0,)
    rows = database.all("SELECT terms, parts FROM passages")
    tokens = sum(len(terms.split()) + len(parts.split()) for terms, parts in rows)
    assert database.one("SELECT entries, tokens FROM passages_totals") == (len(rows), tokens)
