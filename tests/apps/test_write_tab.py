"""What Write's columns do: a strategy each, the same text for the same seed, stopped in between, attention at the end."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest

from apps.write_tab import WriteHandlers
from mmgen.pipelines.text import TextGeneration

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def writing(writer: "Runtime") -> WriteHandlers:
    return WriteHandlers(TextGeneration(writer))


def test_greedy_shows_probabilities_and_keeps_its_text(writing: WriteHandlers) -> None:
    *_, (html, text) = writing.write("greedy")("the ", 6, 1.0, None, False, BROWSER)
    assert html.count("class='token'") > 1 and "instead of" in html and "6 tokens in" in html
    assert text == TextGeneration(writing.text.rt)("the ", max_tokens=6, strategy="greedy").text


def test_the_sample_tells_its_seed_which_writes_it_again(writing: WriteHandlers) -> None:
    *_, (_, text, seed) = writing.write("sample")("the ", 8, 1.0, None, False, BROWSER)
    *_, (_, again, same) = writing.write("sample")("the ", 8, 1.0, seed, True, BROWSER)
    assert (again, same) == (text, seed)


def test_beam_search_comes_at_the_end_without_probabilities(writing: WriteHandlers) -> None:
    shown = list(writing.write("beam")("the ", 5, 1.0, None, False, BROWSER))
    assert "shows its text at the end" in shown[0][0] and "class='token'" not in shown[-1][0] and shown[-1][1]


def test_a_stop_keeps_what_is_there(writing: WriteHandlers) -> None:
    column = writing.write("greedy")("the ", 200, 1.0, None, False, BROWSER)
    next(column), next(column)
    writing.sessions.cancel(BROWSER)
    *_, (html, _) = column
    assert "Stopped." in html and not writing.text.rt.engine.jobs()


def test_a_mistake_is_told_once(writing: WriteHandlers) -> None:
    with pytest.raises(gr.Error, match="the prompt is empty"):
        list(writing.write("greedy")("", 5, 1.0, None, False, BROWSER))
    *_, (html, text) = writing.write("beam")("", 5, 1.0, None, False, BROWSER)
    assert "the prompt is empty" in html and text == ""


def test_attention_is_drawn_of_the_chosen_text(writing: WriteHandlers) -> None:
    alone, longer = writing.attention("greedy", "the ", "", "a a", ""), writing.attention("sample", "the ", "", "a a", "")
    assert alone.tobytes() != longer.tobytes()
    with pytest.raises(gr.Error, match="attention is drawn of 256"):
        writing.attention("greedy", "x" * 400, "", "", "")
