"""The tab Ask: drop files, ask, see quotes. Knows what stands where on the page; not how answers are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from pydantic import TypeAdapter, ValidationError

from mmgen.config import assets_dir
from mmgen.errors import MmgenError, NotFound, UnreadableFile
from mmgen.interfaces import Document
from mmgen.library import page_images
from mmgen.library.document_indexing import Added, IndexProgress
from mmgen.pipelines.rag.answer import Answer
from mmgen.pipelines.rag_text import RagText, checked
from mmgen.rag_params import Grounding, RagParams, Style
from mmgen.stores.history import HistoryEntry

from . import answer_html
from .history_panel import HistoryPanel
from .sessions import Sessions, error_toasts

EXAMPLES = ["How far could the light at Cordouan be seen?", "Who found the Antikythera mechanism?", "How old was the dough?"]
GROUNDINGS = [("Exact quotes", "strict"), ("Cited sentences", "cite"), ("Free generation", "off")]
STYLES = [("Quotes", "quote"), ("A sentence by a language model", "sentence")]
IMAGES = 3  # found beside an answer, where the store has any
PAGES, PAGE_WIDTH = 3, 640  # citations of an answer that show their page, and pixels of it
NEAR = 0.25
"""Score of an image that is shown: what embedded:emoji-clip finds for words of something else stays below."""


def tab(rag: RagText, past: HistoryPanel) -> Sessions:
    """Builds it; the caller cancels what a closed page leaves behind."""
    asked = AskHandlers(rag, past)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            files = gr.File(label="Documents", file_count="multiple", height=150, elem_id="ask-files")
            sample = gr.Button("Load sample documents", size="sm", elem_id="ask-sample")
            shelf = gr.HTML(answer_html.NO_DOCUMENTS, elem_id="ask-shelf")
        with gr.Column(scale=2, min_width=320):
            history = gr.State([])
            said = gr.HTML(answer_html.EMPTY, elem_id="ask-answers")
            with gr.Row(equal_height=True):
                question = gr.Textbox(
                    placeholder="Ask your documents", label="Question", show_label=False, container=False, scale=4,
                    elem_id="ask-question",
                )  # fmt: skip
                go = gr.Button("Ask", variant="primary", scale=0, min_width=96, elem_id="ask-go")
            gr.Examples(EXAMPLES, question, label="Example questions for the sample documents")
            with gr.Accordion("Options", open=False):
                grounding = gr.Radio(GROUNDINGS, value="strict", label="Grounding")
                style = gr.Radio(STYLES, value="quote", label="Style")
                k = gr.Slider(1, 20, 5, step=1, label="Passages retrieved (top k)")
            earlier = past.panel("Question history", ["rag-text"], question_of, asked.reopened, history, [said, history])
    added = [shelf, files]
    files.upload(asked.add, files, added, show_progress_on=shelf)
    sample.click(asked.sample, None, added, show_progress_on=shelf)
    asking = [question, grounding, k, history, style], [said, history, question]
    for trigger in (question.submit, go.click):
        done = trigger(asked.ask, *asking, show_progress="hidden")
        done.then(past.newer, earlier, earlier, show_progress="hidden")
    shelf.attach_load_event(asked.shelf, None)
    return asked.sessions


class Exchange(NamedTuple):
    """A question and its answer, as they are shown and as the next question may lean on them."""

    card: str
    messages: list[dict[str, str]]

    @classmethod
    def of(cls, card: str, question: str, answer: str = "") -> Exchange:
        return cls(card, [{"role": "user", "content": question}, {"role": "assistant", "content": answer}])


def transcript(history: Sequence[Exchange], *cards: str) -> str:
    return answer_html.transcript([*(one.card for one in history), *cards])


class AskHandlers:
    """What the tab's buttons do."""

    def __init__(self, rag: RagText, past: HistoryPanel) -> None:
        self.rag, self.past, self.sessions = rag, past, Sessions()

    def shelf(self) -> str:
        try:
            return answer_html.documents(self.rag.library.readable().documents())
        except NotFound:
            return answer_html.NO_DOCUMENTS

    def add(self, paths: Sequence[str] | None, http: gr.Request, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        """Uploaded files, by their own names; one of the same name is replaced."""
        return self._stored(http, progress, uploads=list(map(Path, paths or ())))

    def sample(self, http: gr.Request, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        return self._stored(http, progress, assets_dir() / "sample")

    def _stored(self, http: gr.Request, progress: gr.Progress, *paths: Path, uploads: Sequence[Path] = ()) -> tuple[Any, ...]:
        def tell(step: IndexProgress) -> None:
            progress(step.files / max(1, step.of), desc=f"{step.files} of {step.of} documents")

        done, documents, skipped = Added(), list[Document](), list[tuple[str, str]]()
        originals: list[bytes] = []
        with self.sessions.request(http, "batch") as request, error_toasts():
            for path in uploads:
                try:
                    data = path.read_bytes()
                    documents.append(self.rag.library.load(Path(path.name), data, metadata={}, request=request))
                    originals.append(data)
                except UnreadableFile as why:
                    skipped.append((path.name, str(why)))
            if paths or documents:
                done = self.rag.add(paths, documents=documents, progress=tell, request=request)
            for document, data in zip(documents, originals, strict=True):
                page_images.keep(self.rag.library.path, document, data)
        for uri, missing in done.partial:
            gr.Warning(f"{Path(uri).name} was read in part: {missing}")
        for uri, missing in done.unread_parts:
            gr.Info(f"{Path(uri).name} was read without {missing}")
        for name, reason in [*skipped, *done.skipped]:
            gr.Warning(reason if name in reason else f"{name}: {reason}")
        return f"<p class='report'>{done}</p>{self.shelf()}", None

    def ask(
        self, question: str, grounding: Grounding, k: float, history: list[Exchange], style: Style, http: gr.Request
    ) -> Iterator[tuple[str, list[Exchange], str]]:
        """The question goes into the conversation at once; its answer takes its place there when it is found."""
        with error_toasts():
            checked(question)
            params = RagParams(k=int(k), grounding=grounding, style=style)
        card, whole, said = answer_html.pending(question, "Retrieving passages"), "", ""
        yield transcript(history, card), history, ""
        params = replace(params, images=IMAGES if self._shows() else 0)
        kept = {"question": question, **{name: getattr(params, name) for name in ("k", "grounding", "images", "style")}}
        before = [message for one in history for message in one.messages]
        try:
            with self.sessions.request(http, "interactive") as request:
                for event in self.rag.stream(question, params=params, history=before, request=request):
                    if event.kind == "rewritten":
                        whole = event.value
                        card = answer_html.pending(question, "Retrieving passages", whole)
                    elif event.kind == "passages":
                        card = answer_html.pending(question, f"Reading {len(event.value)} passages", whole)
                    elif event.kind == "text":
                        card = answer_html.pending(question, event.value, whole)
                    elif event.kind == "answer":
                        card = answer_html.answer(event.value, self._thumbnails(event.value))
                        said = "" if event.value.abstained else event.value.text
                        self.past.add(request, "rag-text", kept, event.value.to_dict(), {})
                    else:
                        continue
                    yield transcript(history, card), history, ""
                    if event.kind == "answer" and (pages := self._pages(event.value, request.check)):
                        card = answer_html.answer(event.value, self._thumbnails(event.value), pages)
        except MmgenError as why:
            card = answer_html.failed(question, str(why))
        history = [*history, Exchange.of(card, question, said)]
        yield transcript(history), history, ""

    def reopened(self, entry: HistoryEntry, history: list[Exchange]) -> Iterator[tuple[str, list[Exchange]]]:
        """An earlier answer at the end of the conversation."""
        question, said = question_of(entry), ""
        try:
            answer = TypeAdapter(Answer).validate_python(entry.result)
            card = answer_html.answer(answer, self._thumbnails(answer), self._pages(answer))
            question, said = answer.standalone, "" if answer.abstained else answer.text
        except ValidationError:  # a call by HTTP, whose result has another form
            card = answer_html.failed(question, str(entry.result.get("text", "")))
        history = [*history, Exchange.of(card, question, said)]
        yield transcript(history), history

    def _shows(self) -> bool:
        """Whether the store has images."""
        try:
            return bool(self.rag.library.gallery().filled())
        except MmgenError:
            return False

    def _pages(self, answer: Answer, check: Callable[[], None] = lambda: None) -> dict[int, bytes]:
        """Images of the pages of the first citations, with the quotes marked; of those whose file is still there."""
        found: dict[int, bytes] = {}
        for number, one in enumerate(answer.citations[:PAGES], 1):
            if one.boxes:
                with suppress(MmgenError):
                    found[number] = page_images.page_image(
                        self.rag.library, one.document_id, one.boxes[0].page, (one.start, one.end), width=PAGE_WIDTH,
                        format="WEBP", check=check,
                    )  # fmt: skip
        return found

    def _thumbnails(self, answer: Answer) -> dict[str, bytes]:
        """Of the answer's images that are near enough and still there."""
        found: dict[str, bytes] = {}
        for one in (image for image in answer.images if image.score >= NEAR):
            try:
                found[one.uri] = self.rag.library.gallery().filled().look(one.uri)[2]
            except MmgenError:
                continue
        return found


def question_of(entry: HistoryEntry) -> str:
    return str(entry.asked.get("question") or entry.kind)
