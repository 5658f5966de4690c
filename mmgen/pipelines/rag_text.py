"""rag-text: a question answered from the user's documents, in their own words, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.deprecated import keywords
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.library.document_library import DocumentLibrary
from mmgen.params import takes
from mmgen.pipelines.rag import conversation
from mmgen.pipelines.rag.answer import NOT_READ, NOT_THERE, Answer, cite, located
from mmgen.pipelines.rag.followups.rewriter import standalone
from mmgen.pipelines.rag.rag_images import illustrations
from mmgen.pipelines.rag.store_adapters import adapted
from mmgen.pipelines.streaming import Event, StreamingPipeline
from mmgen.pipelines.timings import Clock
from mmgen.rag_params import RagParams

if TYPE_CHECKING:
    from mmgen.clients.reader import ReaderClient
    from mmgen.clients.text import TextClient
    from mmgen.library.document_indexing import Added
    from mmgen.models.reader.calibration import Candidate
    from mmgen.runtime import Runtime


STOOD_ALONE = 0.05
"""Cosine by which a question that was whole lies nearer to a passage than with the words that the conversation would add."""


class RagText(StreamingPipeline[Answer]):
    """Answer a question from your documents, with exact quotes.

    store: name or path of the store.
    reader: reference of the model that reads the passages.
    encoder: reference of the model that embeds them.
    model: a language model that writes the answer in place of the reader, or with style "sentence" says what the reader found:
        embedded:NAME, a folder or a repo id.
    """

    priority = "interactive"

    def __init__(
        self,
        rt: Runtime,
        *,
        store: str | None = None,
        reader: str | None = None,
        encoder: str | None = None,
        model: str | None = None,
    ) -> None:
        self.rt, self.where, self.reader_reference, self.model = rt, store, reader, model
        self.library = DocumentLibrary.open(rt, store, encoder=encoder)

    def add(self, paths: str | Path | Sequence[str | Path], **options: Any) -> Added:
        """Files and folders into the store; see `mmgen.library.document_library.DocumentLibrary.add`."""
        return self.library.add(paths, **options)

    def add_text(self, text: str, name: str, **options: Any) -> Added:
        """A text that is no file, under a name by which citations call it."""
        from mmgen.ingest.loaders import load_stdin

        return self.library.add(documents=[load_stdin(text, name, options.get("metadata"))], **options)

    @keywords(pictures="images")
    @takes(RagParams)
    def stream(
        self,
        question: str,
        params: RagParams,
        *,
        history: Sequence[Any] = (),
        request: Request | None = None,
    ) -> Iterator[Event]:
        """Answers one question; a call returns the `Answer`.

        question: what to ask.
        history: what was asked and answered before, oldest first, as answers or as {"role": ..., "content": ...}; an English
            question that leans on it is rewritten to stand alone, then searched and read.

        Events: "rewritten", the question that stands alone, where it is another one; "passages", "images" where they were
        asked for, "candidates", and at last the "answer", each with what it brought; free writing (grounding "off") and a
        language model have "text" events before the answer: all that is written so far, not checked yet. Who stops reading
        them cancels nothing: `request.cancel()` does.

        The confidence is the reader's in its own answer, also where a language model writes: it tells how likely these
        passages answer the question, and below the threshold neither answers. Whether a model's words are right it does not
        tell; how those are checked: rag.word_overlap.

        Raises BadRequest for a value out of its range, NotFound for a store that is absent or empty, TooLong for a question
        that the model cannot hold.
        """
        asked, before = checked(question), conversation.turns(history)
        request, clock = request or Request.new(priority="interactive"), Clock()
        question = standalone(asked, before)
        store = self.library.filled()  # told before a model is loaded for nothing
        gallery = self.library.gallery() if params.images else None
        if gallery:
            gallery.client(gallery.filled())
        self.rt.encoder(store.encoder)
        reader, adapters, told = adapted(self.rt.reader(self.reader_reference), store, params.base)
        says = params.style == "sentence"
        client = None if self.model is None else self.rt.text(self.model)
        writer = None if says else client
        clock.lap("load")
        if conversation.only_adds(asked, question):
            question = self._nearer(asked, question, params, request)
        if before:
            clock.lap("rewrite")
        if question != asked:
            yield Event("rewritten", question)
        hits = self.library.search(question, k=params.k, where=params.where, rerank=params.rerank, request=request)
        clock.lap("retrieve")
        yield Event("passages", hits)
        shown = illustrations(gallery, question, params.images, params.where, request) if gallery else []
        if gallery:
            clock.lap("images")
            yield Event("images", shown)
        texts, similarities = [hit.passage.text for hit in hits], [hit.scores["dense"] for hit in hits]
        calibration = reader.model.calibration
        note = self.library.note(question)
        unread = bool(note) and not reader.knows(question)
        found = [] if unread else reader.read(question, texts, request)
        candidates = reader.candidates(question, found, texts, similarities, request) if found else []
        confidence = calibration.assessed(candidates, similarities, question, texts)
        clock.lap("read")
        yield Event("candidates", candidates)
        missing = NOT_READ if unread else NOT_THERE
        answer = Answer(asked, missing, [], confidence, True, params.grounding, hits, {}, request.id, images=shown)
        guess = cite(candidates[0], hits, whole_sentences=False)[0] if candidates else None
        answer = replace(answer, rewritten="" if question == asked else question, guess=guess)
        answer = replace(answer, note="; ".join(filter(None, (note, told))), adapters=adapters)
        floor = params.threshold if params.threshold is not None else calibration.threshold
        if (hits if writer else candidates) and (params.grounding == "off" or confidence >= floor):
            if writer is None:
                events = self._read(reader, candidates[0], answer, request)
            else:
                from mmgen.pipelines.rag.rag_llm import write  # brings the chat, which the reader's words do without

                events = write(writer, answer, request)
            if says:  # the default model is not loaded where the reader abstains
                from mmgen.pipelines.rag.sentence_style import DEFAULT_MODEL

                client = client or self.rt.text(DEFAULT_MODEL)
                *_, read = events
                events = self._say(client, reader, candidates[0], read.value, request)
            for event in events:
                if event.kind == "text":
                    yield event
                else:
                    answer = event.value
        clock.lap("answer")
        answer = located(answer if answer.abstained else replace(answer, guess=None), store)
        used = [store.encoder, reader.reference, *([client.reference] if client is not None else [])]
        precisions = {name: self.rt.host.precisions.get(name, "") for name in used}
        yield Event("answer", replace(answer, timings=clock.laps(), precisions=precisions))

    def _nearer(self, asked: str, rewritten: str, params: RagParams, request: Request) -> str:
        """The rewritten question, unless what was asked lies nearer to a passage: then it stood alone."""
        found = [
            self.library.search(text, k=1, where=params.where, method="dense", request=request) for text in (asked, rewritten)
        ]
        own, leaning = (hits[0].scores["dense"] if hits else 0.0 for hits in found)
        return asked if own > leaning + STOOD_ALONE else rewritten

    def _read(self, reader: ReaderClient, best: Candidate, answer: Answer, request: Request) -> Iterator[Event]:
        """The reader's words: what it found, or what it writes to the passage where it found it."""
        if answer.grounding != "off":
            citations = cite(best, answer.passages, whole_sentences=answer.grounding == "cite")
            yield Event("answer", replace(answer, text=citations[0].quote, citations=citations, abstained=False))
            return
        text = ""
        for text in reader.write(answer.standalone, answer.passages[best.occurrences[0][0]].passage.text, request):
            yield Event("text", text)
        if text:  # otherwise the reader closed its answer before the first word
            yield Event("answer", replace(answer, text=text, abstained=False))

    def _say(
        self, client: TextClient, reader: ReaderClient, best: Candidate, answer: Answer, request: Request
    ) -> Iterator[Event]:
        """What the reader found, in a sentence in which it finds the same."""
        from mmgen.pipelines.rag import sentence_style

        hit = answer.passages[best.occurrences[0][0]]
        finding = sentence_style.FoundSpan.of(cite(best, answer.passages, whole_sentences=False)[0], hit)
        calibration = reader.model.calibration

        def confirmed(sentence: str) -> bool:
            found = calibration.candidates(reader.read(answer.standalone, [sentence], request), [sentence], [1.0])
            return bool(found) and sentence_style.same(found[0].text, finding.span)

        return sentence_style.say(client, answer, finding, confirmed, request)

    def close(self) -> None:
        self.library.close()


def checked(question: str) -> str:
    """The question, stripped; BadRequest where there is none."""
    if not isinstance(question, str) or not question.strip():
        raise BadRequest('the question is empty; ask something, such as "who built it?"')
    return question.strip()
