"""Sentences as answers quote them."""

import pytest

from mmgen.pipelines.rag.sentence_spans import sentence_around


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("  One here. Two there. ", "Two", "Two there."),
        ("  One here. Two there. ", "here. Two", "One here. Two there."),
        ("Dr. Low came.  Then he left.", "Low", "Dr. Low came."),
        ("no stop at all", "stop", "no stop at all"),
        ("# Lamps\n\nLit in 1823. It shone.", "1823", "Lit in 1823."),
        ("# Lamps\nLit in 1823. It shone.", "Lamps\nLit", "# Lamps\nLit in 1823."),
        ("Before.\n\n```\na = 1\nb = 2\n```", "= 2", "b = 2"),
    ],
)
def test_sentence_around(text: str, span: str, expected: str) -> None:
    at = text.index(span)
    start, end = sentence_around(text, at, at + len(span))
    assert text[start:end] == expected
