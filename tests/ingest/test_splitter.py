"""Offsets, coverage and length hold for any text; sentences, headings and code are respected."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.errors import BadRequest
from mmgen.ingest.splitter import sentences, split
from mmgen.interfaces import Document


def words(text: str) -> list[tuple[int, int]]:
    return [m.span() for m in re.finditer(r"\w+|[^\w\s]", text)]


def document(text: str, kind: str = "markdown", pages: tuple[int, ...] = ()) -> Document:
    return Document("d", text, kind, "h", pages)


PIECES = st.sampled_from(
    ["A word. ", "Dr. Who came? ", "\n\n", "\n", "# Title\n", "## Sub\n", "```\ncode()\n```\n", "- item\n", "语言。模型！", "🙂 ", "e\u0301 ",
     "\u200f\u05d0\u05d1 ", "\u2028", "x" * 40, "a, b; c ", "\t", "def f():\n    return 1\n"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    text=st.lists(PIECES | st.text(max_size=12), max_size=60).map("".join).map(lambda t: t.replace("\r", "\n")),
    kind=st.sampled_from(["markdown", "text", "code"]),
    most=st.integers(8, 30),
    overlap=st.integers(0, 7),
)
def test_offsets_coverage_and_length(text: str, kind: str, most: int, overlap: int) -> None:
    passages = split(document(text, kind), words, most, overlap)
    covered = set()
    spans = words(text)
    for p in passages:
        assert text[p.start : p.end] == p.text
        assert p.text.strip() == p.text != ""
        assert sum(a < p.end and b > p.start for a, b in spans) <= most
        covered.update(range(p.start, p.end))
    assert all(i in covered for i, c in enumerate(text) if not c.isspace())
    assert [p.start for p in passages] == sorted(p.start for p in passages)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith met J. R. Tolkien. They talked.", ["Dr. Smith met J. R. Tolkien.", "They talked."]),
        ("It cost 3.50 dollars, i.e. little. Good!", ["It cost 3.50 dollars, i.e. little.", "Good!"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("Really?! Yes… no.", ["Really?!", "Yes… no."]),
        ("今日は。元気？", ["今日は。", "元気？"]),
        ("Things:\n- one\n- two", ["Things:", "- one", "- two"]),
        ("One line", ["One line"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[a:b].strip() for a, b in sentences(text)] == expected
    assert "".join(text[a:b] for a, b in sentences(text)) == text


def test_headings_begin_passages_and_are_kept() -> None:
    text = "# Tea\n\nIt is a leaf.\n\n## Japan\n\nMonks drank it.\n\n# Coffee\n\nIt is a bean.\n"
    passages = split(document(text), words)
    assert [(p.heading, p.text) for p in passages] == [
        ("Tea", "# Tea\n\nIt is a leaf."),
        ("Tea > Japan", "## Japan\n\nMonks drank it."),
        ("Coffee", "# Coffee\n\nIt is a bean."),
    ]


def test_a_hash_in_code_is_no_heading() -> None:
    passages = split(document("Before it.\n\n```\n# not a title\nx = 1\n```\n\nAfter it."), words)
    assert len(passages) == 1 and passages[0].heading == ""


def test_code_breaks_at_lines() -> None:
    text = "".join(f"def f{n}(x):\n    return x + {n}\n\n" for n in range(12))
    for p in split(document(text, "code"), words, 30, 0):
        assert p.text.startswith(("def", "return")) and "\n" in p.text


def test_neighbours_overlap_in_whole_sentences() -> None:
    text = " ".join(f"This is sentence number {n}." for n in range(20))
    passages = split(document(text), words, 30, 12)
    for one, two in zip(passages, passages[1:], strict=False):
        shared = text[two.start : one.end]
        assert shared.startswith("This") and shared.endswith(".") and len(words(shared)) <= 12


def test_pages() -> None:
    text = "Page one says this.\n\nPage two says that."
    pages = (0, 21)
    passages = split(document(text, "pdf", pages), words, 8, 0)
    assert [(p.page, p.text) for p in passages] == [(1, "Page one says this."), (2, "Page two says that.")]


def test_a_long_sentence_is_cut_at_clauses() -> None:
    text = "the one goes here, " * 10
    assert all(p.text.endswith(",") for p in split(document(text), words, 12, 0))


def test_bad_sizes() -> None:
    with pytest.raises(BadRequest, match="max_tokens 20 and overlap 20"):
        split(document("x"), words, 20, 20)


def test_a_megabyte_splits_in_seconds() -> None:
    """With the encoder's own tokenizer; the bound is for one loaded core."""
    import time

    from mmgen import hub
    from mmgen.models.tokenizer import Tokenizer

    tokenizer = Tokenizer(hub.resolve("embedded:minilm") / "tokenizer.json")
    text = "The lamp was lit in 1823, and it shone over the sea. " * 20_000
    began = time.perf_counter()
    passages = split(document(text), lambda t: tokenizer.encode(t).spans)
    assert time.perf_counter() - began < 10
    assert len(passages) > 1000
