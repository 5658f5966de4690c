import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mmgen.errors import BadRequest
from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore
from mmgen.stores.metadata_filter import MetadataCondition, parse, value, within
from mmgen.stores.postgres.documents import PostgresDocumentStore
from mmgen.stores.relational.documents import RelationalDocumentStore


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020", 2020),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
        ("01067", "01067"),
        ("+4935112345", "+4935112345"),
        ("0", 0),
        ("0.5", 0.5),
        ("-.5", -0.5),
        ("true", True),
        ("'2020'", "2020"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1_000", "1_000"),
        ("9" * 30, "9" * 30),
        ("", ""),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected and type(value(text)) is type(expected)


def test_parse() -> None:
    assert parse(["lang=en", " year >= 2020 "]) == [MetadataCondition("lang", "=", "en"), MetadataCondition("year", ">=", 2020)]
    assert parse({"lang": "en"}) == parse("lang=en") == parse([MetadataCondition("lang", "=", "en")])
    assert parse(["title=a = b"]) == [MetadataCondition("title", "=", "a = b")]
    with pytest.raises(BadRequest, match="filter 'year' cannot be understood"):
        parse(["year"])
    with pytest.raises(BadRequest, match="filter key 'a b' is unusable"):
        parse({"a b": 1})


def test_within() -> None:
    assert within([], "rowid") == ("", [])
    clause, parameters = within(parse(["lang=en", "year>2000"]), "rowid")
    assert clause.startswith("AND rowid IN (SELECT") and clause.count("?") == len(parameters)
    assert parameters == ['$."lang"', "en", '$."year"', '$."year"', 2000]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelationalDocumentStore]:
    """Documents a, b, ... with these metadata."""
    rows = [
        {"zip": "01067", "when": "2024-05-01T00:30:00+02:00", "year": 2020},
        {"zip": 1067, "when": "2024-05-01T10:00:00Z", "year": "2020", "done": True},
        {"zip": "99999", "when": "2024-05-02", "year": 2021, "done": "true"},
        {"when": "2024-05-01 23:59", "year": "MMXX", "done": False},
        {"when": "soon"},
    ]
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            made = stack.enter_context(DocumentStore(tmp_path_factory.mktemp("filter") / "s", encoder="tiny", dimension=1))
        else:
            server = request.getfixturevalue("postgres")
            stack.callback(server.execute, "DROP SCHEMA filters CASCADE")
            made = stack.enter_context(PostgresDocumentStore(server.url("filters"), encoder="tiny", dimension=1))
        for name, metadata in zip("abcde", rows, strict=True):
            document = Document(name, f"lamp {name}", "text", name, metadata=metadata, language="de" if name == "a" else "en")
            made.add(document, [Passage(f"lamp {name}", 0, 6)], np.ones((1, 1), np.float32))
        yield made


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["zip=01067"], "a"),
        (["zip=1067"], "b"),
        (["year=2020"], "ab"),
        (["year='2020'"], "b"),
        (["year!=2020"], "cde"),
        (["year>=2020"], "ac"),
        (["done=true"], "bc"),
        (["when=2024-05-01"], "bd"),
        (["when=2024-04-30T22:30Z"], "a"),
        (["when=2024-05-01T12:00:00+02:00"], "b"),
        (["when!=2024-05-01"], "ace"),
        (["when<2024-05-01"], "a"),
        (["when<=2024-05-01"], "abd"),
        (["when>2024-05-01", "when<2030-01-01"], "c"),
        (["when>=2024-05-01T10:00Z", "when<2030-01-01"], "bcd"),
        (["when=soon"], "e"),
        (["when='2024-05-02'"], "c"),
        ({"year": 2020}, "a"),
        ({"year": "2020"}, "b"),
        (["language=de"], "a"),
    ],
)
def test_what_is_declared_is_what_is_compared(store: RelationalDocumentStore, filters: Any, expected: str) -> None:
    hits = store.search(vector=np.ones(1, np.float32), k=9, where=filters, method="dense")
    assert "".join(sorted(hit.uri for hit in hits)) == expected
