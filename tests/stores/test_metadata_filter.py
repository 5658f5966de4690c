import pytest

from mmgen.errors import BadRequest
from mmgen.stores.metadata_filter import MetadataCondition, parse, value, within


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020", 2020),
        ("-1.5", -1.5),
        ("1e3", 1000.0),
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
