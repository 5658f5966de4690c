"""Broken words are joined; real hyphens stay."""

import pytest

from mmgen.ingest.pdf.hyphens import Hyphenation


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("instru-", "ments.", "instruments."),
        ("baro-", "meter", "barometer"),
        ("price-", "less", "priceless"),
        ("col\u00ad", "lection", "collection"),
        ("(collec\u2010", "tion)", "(collection)"),
        ("Rhein-", "Main-Gebiet", "Rhein-Main-Gebiet"),
        ("2019-", "2020", "2019-2020"),
        ("3-", "year", "3-year"),
        ("mother-in-", "law", "mother-in-law"),
        ("self-", "taught", "self-taught"),
        ("pre-", "and", None),
        ("Nord-", "und", None),
        ("barometer", "was", None),
        ("-", "tea", None),
        ("tea -", "leaves", None),
    ],
)
def test_by_rule(first: str, second: str, joined: str | None) -> None:
    assert Hyphenation([]).joined(first, second) == joined


def test_the_document_knows_its_own_words() -> None:
    seen = Hyphenation(["a", "price-less", "gift", "selfmade,"])
    assert seen.joined("price-", "less.") == "price-less."
    assert seen.joined("self-", "made") == "selfmade"
