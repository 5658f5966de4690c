"""What the Ask tab does with a question: its conversation, cards, images and pages. Not how answers are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from mmgen.errors import Cancelled, MmgenError
from mmgen.library import page_images
from mmgen.library.document_library import DocumentLibrary
from mmgen.pipelines.rag.answer import Answer
from mmgen.pipelines.rag.sentence_style import DEFAULT_MODEL
from mmgen.pipelines.rag_text import RagText, checked
from mmgen.rag_params import Grounding, RagParams, Style
from mmgen.stores.history import HistoryEntry

from . import answer_html
from .history_panel import HistoryPanel
from .live_runs import LiveRuns
from .model_chooser import ModelChooser
from .page_stores import PageStores
from .sessions import Pages, Sessions, error_toasts

IMAGES = 3  # found beside an answer, where they are asked for and the store has any
PAGES, PAGE_WIDTH = 3, 640  # citations of an answer that show their page, and pixels of it
NEAR = 0.25
"""Score of an image that is shown: what embedded:emoji-clip finds for words of something else stays below."""


class Exchange(NamedTuple):
    """A question and its answer, as they are shown and as the next question may lean on them."""

    card: str
    messages: list[dict[str, str]]

    @classmethod
    def of(cls, card: str, question: str, answer: str = "") -> Exchange:
        return cls(card, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


Frame = tuple[str, list[Exchange], str]
"""The conversation as HTML and as exchanges, and what the question field holds from now on."""


def transcript(history: Sequence[Exchange], *cards: str) -> str:
    return answer_html.transcript([*(one.card for one in history), *cards])


class AskHandlers:
    """What the tab's buttons do."""

    def __init__(self, stores: PageStores, past: HistoryPanel, chooser: ModelChooser, pages: Pages) -> None:
        self.stores, self.past, self.chooser, self.default = stores, past, chooser, DEFAULT_MODEL
        self.sessions, self.runs = Sessions(pages), LiveRuns(pages, 3)

    def ask(
        self,
        question: str,
        store: str | None,
        grounding: Grounding,
        k: float,
        history: list[Exchange],
        style: Style,
        model: str | None,
        images: bool,
        http: gr.Request,
    ) -> Iterator[Frame]:
        """The question goes into the conversation at once; its answer takes its place there when it is found."""
        with error_toasts():
            checked(question)
            params = RagParams(k=int(k), grounding=grounding, style=style)
            rag = self.stores.rag(store, http)
            if style == "sentence":
                library = rag.library  # opened already
                rag = RagText(rag.rt, store=rag.where, model=self.chooser.checked("text", self.default, model))
                rag.library = library
        params = replace(params, images=IMAGES if images and has_images(rag.library) else 0)
        yield from self.runs.start(http, lambda _: self._answered(rag, question, params, history, http))

    def _answered(
        self, rag: RagText, question: str, params: RagParams, history: list[Exchange], http: gr.Request
    ) -> Iterator[Frame]:
        card, whole, said = answer_html.pending(question, "Retrieving passages"), "", ""
        kept = {"question": question, **{name: getattr(params, name) for name in ("k", "grounding", "images", "style")}}
        kept["store"] = rag.where
        before = [message for one in history for message in one.messages]
        try:
            with self.sessions.request(http, "interactive") as request:
                yield transcript(history, card), history, ""
                for event in rag.stream(question, params=params, history=before, request=request):
                    if event.kind == "rewritten":
                        whole = event.value
                        card = answer_html.pending(question, "Retrieving passages", whole)
                    elif event.kind == "passages":
                        reading = f"Reading {answer_html.counted(len(event.value), 'passage')}"
                        card = answer_html.pending(question, reading, whole)
                    elif event.kind == "text":
                        card = answer_html.pending(question, event.value, whole)
                    elif event.kind == "answer":
                        card = answer_html.answer(event.value, thumbnails(rag.library, event.value))
                        said = "" if event.value.abstained else event.value.text
                        self.past.add(request, "rag-text", kept, event.value.to_dict(), {})
                    else:
                        continue
                    yield transcript(history, card), history, ""
                    if event.kind == "answer" and (pages := page_views(rag.library, event.value, request.check)):
                        card = answer_html.answer(event.value, thumbnails(rag.library, event.value), pages)
        except Cancelled:
            card = answer_html.failed(question, "Stopped.")
        except MmgenError as why:
            card = answer_html.failed(question, str(why))
        history = [*history, Exchange.of(card, question, said)]
        yield transcript(history), history, ""

    def cleared(self) -> tuple[str, list[Exchange], str]:
        """A new conversation."""
        return answer_html.EMPTY, [], ""

    def reopened(self, entry: HistoryEntry, history: list[Exchange]) -> Iterator[tuple[str, list[Exchange]]]:
        """An earlier answer at the end of the conversation."""
        question, said = question_of(entry), ""
        try:
            answer = TypeAdapter(Answer).validate_python(entry.result)
            library = self.stores.opened(entry.asked.get("store") or self.stores.default).library
            card = answer_html.answer(answer, thumbnails(library, answer), page_views(library, answer))
            question, said = answer.standalone, "" if answer.abstained else answer.text
        except ValidationError:  # a call by HTTP, whose result has another form
            card = answer_html.failed(question, str(entry.result.get("text", "")))
        history = [*history, Exchange.of(card, question, said)]
        yield transcript(history), history


def has_images(library: DocumentLibrary) -> bool:
    try:
        return bool(library.gallery().filled())
    except MmgenError:
        return False


def page_views(library: DocumentLibrary, answer: Answer, check: Callable[[], None] = lambda: None) -> dict[int, bytes]:
    """Images of the pages of the first citations, with the quotes marked; of those whose file is still there."""
    found: dict[int, bytes] = {}
    for number, one in enumerate(answer.citations[:PAGES], 1):
        if one.boxes:
            with suppress(MmgenError):
                found[number] = page_images.page_image(
                    library, one.document_id, one.boxes[0].page, (one.start, one.end), width=PAGE_WIDTH, format="WEBP",
                    check=check,
                )  # fmt: skip
    return found


def thumbnails(library: DocumentLibrary, answer: Answer) -> dict[str, bytes]:
    """Of the answer's images that are near enough and still there."""
    found: dict[str, bytes] = {}
    for one in (image for image in answer.images if image.score >= NEAR):
        try:
            found[one.uri] = library.gallery().filled().look(one.uri)[2]
        except MmgenError:
            continue
    return found


def question_of(entry: HistoryEntry) -> str:
    return str(entry.asked.get("question") or entry.kind)
