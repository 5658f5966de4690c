from collections.abc import Callable, Sequence

from mmgen.stores.lexical.query import MOST_TERMS, parsed, split


def expression(query: str, languages: Sequence[str], known: Callable[[str], bool]) -> str:
    return parsed(query, languages, known).fts5()


def none(term: str) -> bool:
    return False


def test_any_of_the_words() -> None:
    assert expression("Who lit the lamps, and the LAMPS?", ["en"], none) == 'terms : ("lit" OR "lamp")'
    assert expression('"; NEAR(x*)', ["en"], none) == 'terms : ("near" OR "x")'
    assert expression("to be or not", ["en"], none) == 'terms : ("not")'
    assert expression("to be", ["en"], none) == 'terms : ("to" OR "be")'
    assert expression("?!", ["en"], none) == expression("", ["en"], none) == expression("lamp", [], none) == ""
    assert expression(" ".join(map(str, range(9999))), ["en"], none).count(" OR ") == MOST_TERMS - 1


def test_in_every_language_of_the_documents() -> None:
    assert expression("Häuser", ["en", "fr"], none) == 'terms : ("hauser" OR "haus")'


def test_a_letter_alone_begins_a_term() -> None:
    assert expression("预算", ["zh"], none) == 'terms : ("预算")' and expression("茶", ["zh"], none) == 'terms : ("茶" *)'
    assert expression("志愿者", ["en"], none) == 'terms : ("志愿" OR "愿者")'
    assert expression("ยา", ["th"], none) == 'terms : ("ยา" *)'


def test_japanese_endings_are_passed_over_where_there_are_other_words() -> None:
    assert expression("利用できます", ["ja"], none) == 'terms : ("利用" OR "用で")'
    assert expression("できます", ["ja"], none).count(" OR ") == 2


def test_compounds() -> None:
    known = {"kranken", "krank", "versicher", "beitrag"}.__contains__
    assert split("krankenversicherungsbeitrag", "de", known) == ["krank", "versicher", "beitrag"]
    assert split("versicherungsbeitrag", "de", known) == ["versicher", "beitrag"]
    assert split("verantwortung", "de", known) == split("beitrag", "de", known) == []
    assert expression("Beitrag", ["de"], none) == 'terms : ("beitrag") OR parts : ("beit eitr itra trag")'
    assert '"versicher" OR "beitrag"' in expression("Versicherungsbeitrag", ["de"], known)
