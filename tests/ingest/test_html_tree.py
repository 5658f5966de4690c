"""Any HTML becomes a tree with all its text."""

import pytest

from mmgen.ingest.html_tree import parsed


def test_nothing_is_lost_below_the_levels_that_the_parser_builds() -> None:
    page = "<p id=a>first" + "<div>x<b>y</b>z" * 3000 + "deep" + "</div>" * 3000 + "<p>after"
    root, _ = parsed(page.encode())
    assert "".join(root.itertext()) == "first" + "xyz" * 3000 + "deepafter"
    assert [one.get("id") for one in root.iter("p")] == ["a", None]


def test_names_that_are_none_are_no_error() -> None:
    root, _ = parsed(b"<div 'x\"=1>" * 2100 + b"<a:b c:d=e>text")
    assert "".join(root.itertext()) == "text"


@pytest.mark.parametrize("charset", ["undefined", "unicode_escape", "idna", "utf-7", "rot13", "no-such"])
def test_a_charset_that_is_none_is_guessed(charset: str) -> None:
    root, metadata = parsed(f'<meta charset="{charset}"><p>'.encode() + b"Caf\xe9 am Fluss, ge\xf6ffnet bis sp\xe4t")
    assert "".join(root.itertext()) == "Café am Fluss, geöffnet bis spät" and metadata == {"encoding": "cp1252"}
