"""Blocks: headings, paragraphs, listings and records, with nothing lost between them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgen.ingest.text_blocks import blocks


def seen(text: str, kind: str = "markdown") -> list[tuple[str, str]]:
    return [(block.form, block.title or text[block.start : block.end]) for block in blocks(text, kind)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "# Tea #\nleaf\n\n###### Six\n####### seven",
            [("heading", "Tea"), ("prose", "leaf"), ("heading", "Six"), ("prose", "####### seven")],
        ),
        ("#no\n\n# C#\n", [("prose", "#no"), ("heading", "C#")]),
        ("Tea\n===\n\nOrigin\n---\nleaf", [("heading", "Tea"), ("heading", "Origin"), ("prose", "leaf")]),
        ("one\ntwo\n---\n\n---\n- item\n---", [("prose", "one\ntwo\n---"), ("prose", "---\n- item\n---")]),
        ("---\ntitle: x\ntags:\n  - y\n---\nText", [("code", "---\ntitle: x\ntags:\n  - y\n---"), ("prose", "Text")]),
        ("a\n```py\n# no\n\nb\n```\nc", [("prose", "a"), ("code", "```py\n# no\n\nb\n```"), ("prose", "c")]),
        ("````\n```\nx\n```\n````\ny", [("code", "````\n```\nx\n```\n````"), ("prose", "y")]),
        ("~~~\n```\n~~~\n# T", [("code", "~~~\n```\n~~~"), ("heading", "T")]),
        ("```inline``` is no fence\n# T", [("prose", "```inline``` is no fence"), ("heading", "T")]),
        ("```\nnever closed\n# no", [("code", "```\nnever closed\n# no")]),
    ],
)
def test_markdown(text: str, expected: list[tuple[str, str]]) -> None:
    assert seen(text) == expected


def test_levels_of_headings() -> None:
    assert [block.level for block in blocks("# a\n### b\nc\n==\nd\n---\n", "html")] == [1, 3, 1, 2]


def test_other_kinds() -> None:
    assert seen("# a\n\nb", "text") == [("prose", "# a"), ("prose", "b")]
    assert seen("a: 1\nb: 2\n\na: 3", "csv") == [("record", "a: 1\nb: 2"), ("record", "a: 3")]
    assert seen("# a\nb", "epub") == [("heading", "a"), ("prose", "b")]


def test_code_at_its_definitions() -> None:
    text = "import x\n\n\ndef f():\n    a()\n\n    b()\n\nfunc g() {\n\n}\n"
    assert seen(text, "code") == [("code", "import x"), ("code", "def f():\n    a()\n\n    b()"), ("code", "func g() {\n\n}")]


@pytest.mark.parametrize(
    "text",
    [
        "---\n" + "-a: b\n" * 60,
        "# a" + " " * 50_000 + "#" * 50_000 + "x",
        "`" * 100_000,
        "a\n---\n" * 20_000,
        "a\n" + " \n" * 50_000,
    ],
    ids=["front matter without an end", "closing hashes", "ticks", "underlines", "blank lines"],
)
def test_hostile_text_takes_no_longer(text: str) -> None:
    began = time.process_time()
    assert list(blocks(text, "markdown"))
    assert time.process_time() - began < 2


@given(
    st.lists(st.sampled_from(["# a", "```", "~~~~", "---", "===", "x", "  y", "", " ", "\u2028", "- z"])).map("\n".join),
    st.sampled_from(["markdown", "code", "text", "csv"]),
)
def test_only_white_space_lies_between(text: str, kind: str) -> None:
    at = 0
    for block in blocks(text, kind):
        assert not text[at : block.start].strip()
        assert text[block.start : block.end] == text[block.start : block.end].strip() != ""
        at = block.end
    assert not text[at:].strip()


def test_sheets_are_headings_and_records() -> None:
    text = "# Ships\n\n## no: heading\nb: 1\n\n```\n\nname: # Anna\n\n# Next"
    records = [("record", "## no: heading\nb: 1"), ("record", "```"), ("record", "name: # Anna")]
    assert seen(text, "xlsx") == [("heading", "Ships"), *records, ("heading", "Next")]
