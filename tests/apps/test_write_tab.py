"""What the Text tab does: three strategies of one request, the same text for the same seed, stopped together, attention."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest

from apps.model_chooser import ModelChooser
from apps.sessions import Pages
from apps.write_tab import WriteHandlers
from mmgen.pipelines.text import TextGeneration

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")


@pytest.fixture
def writing(writer: "Runtime") -> WriteHandlers:
    return WriteHandlers(writer, ModelChooser(writer, local=True), Pages())


def write(writing: WriteHandlers, most: int = 6, seed: float | None = None, lock: bool = False, prompt: str = "the ") -> Any:
    return writing.write(prompt, None, most, 1.0, seed, lock, BROWSER)


def test_three_texts_and_the_seed_that_writes_the_sample_again(writing: WriteHandlers) -> None:
    shown = list(write(writing))
    greedy, sample, beam, *texts, seed = shown[-1]
    assert greedy.count("class='token'") > 1 and "instead of" in greedy and "6 tokens in" in greedy
    assert texts[0] == TextGeneration(writing.rt)("the ", max_tokens=6, strategy="greedy").text
    assert "class='token'" not in beam and texts[2] and f"seed {seed}" in sample
    *_, again = write(writing, seed=seed, lock=True)
    assert (again[4], again[-1]) == (texts[1], seed)


def test_a_stop_stops_all_three_and_keeps_what_is_there(writing: WriteHandlers) -> None:
    shown = write(writing, most=200)
    next(shown), next(shown)
    assert len({job.request.id for job in writing.rt.engine.jobs()}) <= 1, "one click is one request"
    writing.sessions.cancel(BROWSER)
    *_, last = shown
    assert "Stopped." in last[0] and "Stopped." in last[1] and not writing.rt.engine.jobs()


def test_a_mistake_is_told_once(writing: WriteHandlers) -> None:
    shown: list[Any] = []
    with pytest.raises(gr.Error, match="the prompt is empty"):
        for frame in write(writing, prompt=""):
            shown.append(frame)
    assert all("the prompt is empty" in html for html in shown[-1][:3]) and shown[-1][3:6] == ("", "", "")


def test_attention_is_drawn_of_the_chosen_text(writing: WriteHandlers) -> None:
    alone = writing.attention("greedy", "the ", None, "", "a a", "")
    longer = writing.attention("sample", "the ", None, "", "a a", "")
    assert alone.tobytes() != longer.tobytes()
    with pytest.raises(gr.Error, match="attention is drawn of 256"):
        writing.attention("greedy", "x" * 400, None, "", "", "")
