"""What Ask's buttons do: documents in, answers kept, and the same card when one is opened again."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import pytest
from color_encoder import drawn
from pdf_files import lines, pdf_of

from apps import answer_html, ask_handlers
from apps.ask_handlers import AskHandlers, Exchange, has_images, page_views, question_of
from apps.history_panel import HistoryPanel
from apps.model_chooser import ModelChooser
from apps.page_stores import PageStores
from apps.sessions import Pages
from apps.store_handlers import StoreHandlers
from mmgen.pipelines.rag.answer import Answer, cited, located
from mmgen.rag_params import RagParams
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
        stores = PageStores(painter, str(tmp_path / "store"), local=True)
        add(stores, tmp_path / "hirta.md")
        yield AskHandlers(stores, HistoryPanel(history), ModelChooser(painter, local=True), Pages())


def add(stores: PageStores, *files: Path) -> Any:
    return StoreHandlers(stores, Pages()).add(None, list(map(str, files)), BROWSER, still)  # type: ignore[arg-type]


def ask(asking: AskHandlers, question: str, history: Any = (), grounding: Any = "cite", images: bool = False) -> list[Any]:
    """All that the page is shown."""
    return list(asking.ask(question, None, grounding, 3, list(history), "quote", None, images, BROWSER))


def test_an_answer_is_kept_and_opens_as_the_same_card(asking: AskHandlers) -> None:
    shown = ask(asking, "Who lit the lamp?")
    assert shown[-1][2] == ""
    ((_, (exchange,), _),) = shown[-1:]
    (entry,) = asking.past.entries(["rag-text"], "lamp")
    assert question_of(entry) == "Who lit the lamp?"
    before = Exchange.of("<p>before</p>", "Who?")
    ((said, history),) = asking.reopened(entry, [before])
    assert history == [before, exchange] and said == answer_html.transcript(["<p>before</p>", exchange.card])


def test_a_citation_of_a_pdf_shows_its_page(asking: AskHandlers, tmp_path: Path) -> None:
    """After the answer itself; from the copy of the upload."""
    (tmp_path / "mill.pdf").write_bytes(pdf_of(lines("The mill of Hirta was built by Greta Holm in 1742.")))
    add(asking.stores, tmp_path / "mill.pdf")
    library = asking.stores.library(None, BROWSER)
    passage = library.search("Who built the mill?", k=1)[0]
    at = passage.passage.text.index("Greta")
    citation = cited(passage, at, at + 10)
    answer = located(Answer("?", "Greta", [citation], 1.0, False, "strict", [passage], {}), library.readable())
    pages = page_views(library, answer)
    assert pages[1][8:12] == b"WEBP"
    card = answer_html.answer(replace(answer, timings={"total": 1.0, "load": 0.0}), {}, pages)
    assert "alt='Page 1 of mill.pdf, with the quote marked'" in card


def test_a_question_leans_on_those_before(asking: AskHandlers) -> None:
    *_, (_, history, _) = ask(asking, "What is the lamp of Hirta?")
    shown = [html for html, _, _ in ask(asking, "Who lit it?", history)]
    assert "Searched: Who lit the lamp of Hirta?" in shown[-1]


def test_an_entry_of_another_form_is_shown_as_text(asking: AskHandlers) -> None:
    assert asking.past.history is not None
    asking.past.history.add("local", "http", "rag-text", {"question": "<i>who?"}, {"text": "<b>me"})
    ((_, (exchange,)),) = asking.reopened(asking.past.history.get("local", "http"), [])
    assert "&lt;i&gt;who?" in exchange.card and "&lt;b&gt;me" in exchange.card


def test_near_images_of_the_store_stand_beside_the_answer_if_wanted(asking: AskHandlers, tmp_path: Path) -> None:
    library = asking.stores.library(None, BROWSER)
    assert not has_images(library)
    library.gallery().add([drawn(tmp_path / f"{name}.png", name) for name in ("red", "blue")])
    assert has_images(library)
    *_, (html, _, _) = ask(asking, "What is red?", grounding="strict", images=True)
    assert "src='data:image/webp;base64," in html and "red.png" in html and "blue.png" not in html
    assert "show what the question names" in html and "what it shows (cosine" in html
    *_, (html, _, _) = ask(asking, "What is red?", grounding="strict")
    assert "data:image" not in html


def test_a_guess_below_the_threshold_is_one_click_away(asking: AskHandlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask_handlers, "RagParams", partial(RagParams, threshold=1.0))
    *_, (html, ((_, messages),), _) = ask(asking, "Who won the football world cup in 1998?")
    assert "No answer is sure enough" in html and "Show the best guess" in html and "<mark>" in html
    assert messages[1]["content"] == "", "a guess is nothing that the next question leans on"


def test_a_stopped_question_says_so(asking: AskHandlers) -> None:
    shown = asking.ask("Who lit the lamp?", None, "cite", 3, [], "quote", None, False, BROWSER)
    first = next(shown)
    asking.sessions.cancel(BROWSER)
    html, *_ = [first, *shown][-1]
    assert "Stopped." in html or "Anna Stuart" in html


def test_an_empty_question_is_told(asking: AskHandlers) -> None:
    with pytest.raises(gr.Error, match="the question is empty"):
        ask(asking, " ")
