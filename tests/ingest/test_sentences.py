"""Sentences of prose, as a careful reader would part them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmgen.ingest.sentences import sentences


@pytest.mark.parametrize(
    "marked",
    [
        "Dr. Smith met J. R. R. Tolkien in St. Louis. ¦They talked.",
        "It cost 3.50 dollars, i.e. little. ¦Good!",
        'He said "Stop." ¦Then he left.',
        '"Stop!" he cried. ¦"Go," she said. ¦"Now."',
        "Really?! ¦Yes… no. ¦Wait... ¦Then go... on.",
        "He said no. ¦Then he left. ¦See No. 5 of it.",
        "The U.S. Army came. ¦They left the U.S. ¦The end.",
        "At 5 p.m. Berlin time, etc. and so on. ¦At 5 p.m. ¦He left.",
        "See e.g. Smith et al. 2020. ¦Good.",
        "It holds vitamin C. ¦It helps. ¦Susan B. Anthony spoke.",
        "Known.[1] ¦Proved.[2][13] ¦Done.",
        "(It rained.) ¦We left.",
        "Lines that\nwrap on. ¦And\nmore",
        "Things:\n¦- one\n¦- two",
        "1. First\n¦2. Second\n   of two.\n¦3. Third",
        "a | b\n¦1 | 2\n¦3 | 4",
        "今日は。¦元気？¦「はい。」",
        "यह है। ¦वह है।",
        "هل؟ ¦نعم.",
        "One line",
        "  - one item",
    ],
)
def test_sentences(marked: str) -> None:
    text = marked.replace("¦", "")
    assert [text[a:b] for a, b in sentences(text)] == marked.split("¦")


@pytest.mark.parametrize("part", [".", "।", '."', ".[1]", "\na ", "\n   ", "a |"])
def test_hostile_text_takes_no_longer(part: str) -> None:
    began = time.process_time()
    assert sentences(part * 50_000)
    assert time.process_time() - began < 2


@given(st.text(st.sampled_from("aA1. !?\n\r-|。」\"'\u200b\U0001f642\u0301\u05d0")) | st.text())
def test_no_gaps(text: str) -> None:
    assert "".join(text[a:b] for a, b in sentences(text)) == text
    assert all(text[a:b] for a, b in sentences(text))
