"""What Ask's buttons do: documents in, answers kept, and the same card when one is opened again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest
from color_encoder import drawn
from pdf_files import lines, pdf_of

from apps import answer_html
from apps.ask_tab import AskHandlers, Exchange, question_of
from apps.history_panel import HistoryPanel
from mmgen.pipelines.rag.answer import Answer, cited, located
from mmgen.pipelines.rag_text import RagText
from mmgen.stores.history import History

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

BROWSER: Any = SimpleNamespace(session_hash="me")
DOCUMENT = "# Hirta\n\nThe <b>lamp</b> of Hirta was lit by Anna Stuart in 1823. It burned seal oil.\n"


def still(*_: Any, **__: Any) -> None:
    """A progress bar that nobody sees."""


@pytest.fixture
def asking(painter: "Runtime", tmp_path: Path) -> Iterator[AskHandlers]:
    (tmp_path / "hirta.md").write_text(DOCUMENT)
    with History(tmp_path / "history") as history:
        made = AskHandlers(RagText(painter, store=str(tmp_path / "store")), HistoryPanel(history))
        made.add([str(tmp_path / "hirta.md")], BROWSER, still)  # type: ignore[arg-type]
        yield made


def test_files_are_on_the_shelf_and_the_unreadable_are_told(
    asking: AskHandlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    (tmp_path / "bad.pdf").write_bytes(b"\x00\x01")
    shelf, cleared = asking.add([str(tmp_path / "bad.pdf")], BROWSER, still)  # type: ignore[arg-type]
    assert "hirta.md" in shelf and cleared is None and len(said) == 1 and "bad.pdf" in said[0]


def test_an_answer_is_kept_and_opens_as_the_same_card(asking: AskHandlers) -> None:
    shown = list(asking.ask("Who lit the lamp?", "cite", 3, [], "quote", BROWSER))
    assert "Retrieving passages" in shown[0][0] and shown[-1][2] == ""
    ((_, (exchange,), _),) = shown[-1:]
    (entry,) = asking.past.entries(["rag-text"], "lamp")
    assert question_of(entry) == "Who lit the lamp?"
    before = Exchange.of("<p>before</p>", "Who?")
    ((said, history),) = asking.reopened(entry, [before])
    assert history == [before, exchange] and said == answer_html.transcript(["<p>before</p>", exchange.card])


def test_a_citation_of_a_pdf_shows_its_page(asking: AskHandlers, tmp_path: Path) -> None:
    """After the answer itself; from the copy of the upload."""
    (tmp_path / "mill.pdf").write_bytes(pdf_of(lines("The mill of Hirta was built by Greta Holm in 1742.")))
    asking.add([str(tmp_path / "mill.pdf")], BROWSER, still)  # type: ignore[arg-type]
    passage = asking.rag.library.search("Who built the mill?", k=1)[0]
    at = passage.passage.text.index("Greta")
    citation = cited(passage, at, at + 10)
    answer = located(Answer("?", "Greta", [citation], 1.0, False, "strict", [passage], {}), asking.rag.library.readable())
    pages = asking._pages(answer)
    assert pages[1][8:12] == b"WEBP"
    card = answer_html.answer(replace(answer, timings={"total": 1.0, "load": 0.0}), {}, pages)
    assert "alt='Page 1 of mill.pdf, with the quote marked'" in card


def test_a_question_leans_on_those_before(asking: AskHandlers) -> None:
    *_, (_, history, _) = asking.ask("What is the lamp of Hirta?", "cite", 3, [], "quote", BROWSER)
    shown = [html for html, _, _ in asking.ask("Who lit it?", "cite", 3, history, "quote", BROWSER)]
    assert "Searched" not in shown[0]
    assert all("Searched: Who lit the lamp of Hirta?" in html for html in shown[1:])


def test_an_entry_of_another_form_is_shown_as_text(asking: AskHandlers) -> None:
    assert asking.past.history is not None
    asking.past.history.add("local", "http", "rag-text", {"question": "<i>who?"}, {"text": "<b>me"})
    ((_, (exchange,)),) = asking.reopened(asking.past.history.get("local", "http"), [])
    assert "&lt;i&gt;who?" in exchange.card and "&lt;b&gt;me" in exchange.card


def test_near_images_of_the_store_stand_beside_the_answer(asking: AskHandlers, tmp_path: Path) -> None:
    assert not asking._shows()
    files = [drawn(tmp_path / f"{name}.png", name) for name in ("red", "blue")]
    asking.rag.library.gallery().add(files)
    assert asking._shows()
    *_, (html, _, _) = asking.ask("What is red?", "strict", 3, [], "quote", BROWSER)
    assert "src='data:image/webp;base64," in html and "red.png" in html and "blue.png" not in html


def test_an_empty_question_is_told(asking: AskHandlers) -> None:
    with pytest.raises(gr.Error, match="the question is empty"):
        list(asking.ask(" ", "strict", 3, [], "quote", BROWSER))
