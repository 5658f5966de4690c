"""Offsets, coverage and length hold for any text; sentences, headings and code are respected."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.errors import BadRequest
from mmgen.ingest.splitter import TokenCounter, split
from mmgen.interfaces import Document


def words(text: str) -> list[tuple[int, int]]:
    return [m.span() for m in re.finditer(r"\w+|[^\w\s]", text)]


def document(text: str, kind: str = "markdown", pages: tuple[int, ...] = ()) -> Document:
    return Document("d", text, kind, "h", pages)


PIECES = st.sampled_from(
    ["A word. ", "Dr. Who came? ", "\n\n", "\n", "# Title\n", "## Sub\n", "```\ncode()\n```\n", "- item\n", "语言。模型！",
     "🙂 ", "e\u0301 ", "\u200b", "\r\n",
     "\u200f\u05d0\u05d1 ", "\u2028", "x" * 40, "a, b; c ", "\t", "def f():\n    return 1\n"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    text=st.lists(PIECES | st.text(max_size=12), max_size=60).map("".join),
    kind=st.sampled_from(["markdown", "text", "code", "csv"]),
    most=st.integers(8, 60),
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
    assert all(one.start < two.start and one.end < two.end for one, two in pairwise(passages))
    shared = [sum(two.start <= a < one.end for a, _ in spans) for one, two in pairwise(passages)]
    assert all(count <= overlap for count in shared)


def bytes_and_gaps(text: str) -> list[tuple[int, int]]:
    """Like a byte-level tokenizer: a token for every byte, of white space too."""
    return [(i, i + 1) for i, c in enumerate(text) for _ in c.encode("utf-8", "replace")]


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12), max_size=30).map("".join))
def test_tokens_that_share_characters(text: str) -> None:
    """The bound is loose by the tokens of one character; nothing is lost, and it ends."""
    passages = split(document(text), bytes_and_gaps, 8, 3)
    covered = {i for p in passages for i in range(p.start, p.end)}
    assert all(i in covered for i, c in enumerate(text) if not c.isspace())
    assert all(len(p.text.encode("utf-8", "replace")) <= 8 + 3 for p in passages)


def test_tokens_are_counted_over_the_borders_of_parts() -> None:
    text = "some words and more " * 20
    assert [TokenCounter(text, words, part).count(0, len(text)) for part in (7, 50, 10_000)] == [80, 80, 80]
    assert TokenCounter(text, words, 7).starts == TokenCounter(text, words).starts


def test_headings_begin_passages_and_are_kept() -> None:
    text = "# Tea\n\nIt is a leaf.\n\n## Japan\n\nMonks drank it.\n\n# Coffee\n\nIt is a bean.\n"
    passages = split(document(text), words)
    assert [(p.heading, p.text) for p in passages] == [
        ("Tea", "# Tea\n\nIt is a leaf."),
        ("Tea > Japan", "## Japan\n\nMonks drank it."),
        ("Coffee", "# Coffee\n\nIt is a bean."),
    ]


def test_headings_without_a_text_go_into_the_next_section() -> None:
    passages = split(document("# Tea\n\n## Japan\n\nMonks drank it.\n\n## China\n"), words)
    assert [(p.heading, p.text) for p in passages] == [
        ("Tea > Japan", "# Tea\n\n## Japan\n\nMonks drank it."),
        ("Tea > China", "## China"),
    ]


def test_a_heading_stays_with_what_follows() -> None:
    """Even where it and the next sentence together are too long."""
    text = "# The title\n\n" + "word " * 19 + "end.\n"
    one, two = split(document(text), words, 20, 0)
    assert one.text == "# The title\n\n" + "word " * 16 + "word" and two.text == "word word end."


def test_a_listing_stays_whole_where_it_fits() -> None:
    listing = "```\n" + "x = 1\n\n" * 6 + "```"
    passages = split(document(f"{'A sentence of six words. ' * 3}\n\n{listing}\n"), words, 32, 0)
    assert [p.text for p in passages] == [("A sentence of six words. " * 3).strip(), listing]


def test_records_stay_whole() -> None:
    row = "name: Dr. Who\nremark: One. Two. Three."
    passages = split(document("\n\n".join([row] * 5), "csv"), words, 30, 10)
    assert [p.text for p in passages] == ["\n\n".join([row] * 2)] * 2 + [row]


def test_a_record_that_is_too_long_is_split_at_sentences() -> None:
    text = "title: Long\n" + "This is a sentence of it. " * 8
    passages = split(document(text, "jsonl"), words, 20, 0)
    assert [p.text[:7] for p in passages] == ["title: ", "This is", "This is", "This is"]


def test_a_small_rest_takes_from_its_neighbour() -> None:
    text = "This sentence has six words. " * 10 + "Rest."
    assert [len(words(p.text)) for p in split(document(text), words, 60, 0)] == [36, 26]


def test_a_hash_in_code_is_no_heading() -> None:
    passages = split(document("Before it.\n\n```\n# not a title\nx = 1\n```\n\nAfter it."), words)
    assert len(passages) == 1 and passages[0].heading == ""


def test_code_breaks_before_definitions() -> None:
    text = "".join(f"def f{n}(x):\n    y = x + {n}\n\n    return y\n\n" for n in range(12))
    passages = split(document(text, "code"), words, 40, 10)
    assert len(passages) == 4 and all(p.text.startswith("def") and p.text.endswith("return y") for p in passages)


def test_a_long_definition_breaks_at_blank_lines_then_at_lines() -> None:
    text = "def f():\n    a = 1\n    b = 2\n\n" + "    c = 3\n" * 6
    assert [p.text for p in split(document(text, "code"), words, 12, 0)] == [
        "def f():\n    a = 1\n    b = 2",
        "\n    ".join(["c = 3"] * 4),
        "\n    ".join(["c = 3"] * 2),
    ]


@pytest.mark.parametrize(("overlap", "shared"), [(0, 0), (11, 6), (12, 12)])
def test_neighbours_overlap_in_whole_sentences(overlap: int, shared: int) -> None:
    text = " ".join(f"This is sentence number {n}." for n in range(20))
    for one, two in pairwise(split(document(text), words, 30, overlap)):
        assert two.text.startswith("This") and one.text.endswith(".")
        assert len(words(text[two.start : max(two.start, one.end)])) == shared


def test_pages() -> None:
    text = "Page one says this.\n\nPage two says that."
    pages = (0, 21)
    passages = split(document(text, "pdf", pages), words, 8, 0)
    assert [(p.page, p.text) for p in passages] == [(1, "Page one says this."), (2, "Page two says that.")]


def test_a_long_sentence_is_cut_at_clauses() -> None:
    text = "the one goes here, " * 10
    assert all(p.text.endswith(",") for p in split(document(text), words, 12, 0))


def test_a_long_sentence_is_cut_at_words_and_at_last_anywhere() -> None:
    assert [p.text for p in split(document("word " * 12), words, 8, 0)] == [
        "word word word word word word word word",
        "word word word word",
    ]
    assert [p.text for p in split(document("+" * 12), words, 8, 0)] == ["+" * 8, "+" * 4]
    assert [p.text for p in split(document("字，" * 6), lambda text: [(i, i + 1) for i in range(len(text))], 9, 0)] == [
        "字，" * 4,
        "字，" * 2,
    ]


def test_bad_sizes() -> None:
    with pytest.raises(BadRequest, match="max_tokens 20 and overlap 20"):
        split(document("x"), words, 20, 20)


def test_a_megabyte_splits_in_seconds() -> None:
    """With the encoder's own tokenizer."""
    import time

    from mmgen import hub
    from mmgen.models.lm.tokenizer import Tokenizer

    tokenizer = Tokenizer(hub.resolve("embedded:minilm") / "tokenizer.json")
    text = "The lamp was lit in 1823, and it shone over the sea. " * 20_000
    began = time.process_time()
    passages = split(document(text), lambda t: tokenizer.encode(t).spans)
    assert time.process_time() - began < 10
    assert len(passages) > 1000
