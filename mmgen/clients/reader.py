"""Grounded readers through the engine: a question and passages in, answers out. Part of the wiring; knows no store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest
from mmgen.models.encoders import known_scripts

if TYPE_CHECKING:
    from mmgen.models.reader.calibration import SpanAnswer
    from mmgen.models.reader.model import ReaderModel
    from mmgen.models.reader.table_records import TableReading


FIRST = 2
"""Passages that are read in any case."""
SURE = 2.0
"""Log-odds of an answer against "no answer" from which further passages change nothing; as measured in docs/benchmarks.md."""


class ReaderClient:
    """A reader whose passes are the engine's."""

    def __init__(self, host: ModelHost, reference: str, model: ReaderModel) -> None:
        self.host, self.reference, self.model = host, reference, model

    def knows(self, text: str) -> bool:
        """Whether the model's vocabulary has the text's script; without it, it finds nothing but chance."""
        tokenizer = getattr(self.model, "tokenizer", None)
        return tokenizer is None or known_scripts.knows(tokenizer.fast, text)

    def read(self, question: str, passages: Sequence[str], request: Request | None = None) -> list[list[SpanAnswer]]:
        """The best answer in each passage, cut where a quote may be cut; see models/reader/span_bounds.py. Of a table
        that row is read which the question names; see models/reader/table_records.py.

        Of a question that is too long for the reader, the parts that ask are read, and each passage's likeliest answer to one
        of them is taken. Passages come best first; where one of the first two answers the question for sure, the others are
        not read, and have no spans.
        """
        found = self._read(question, passages[:FIRST], request)
        sure = max((span.log_probability - span.no_answer for spans in found for span in spans), default=-SURE)
        rest = passages[FIRST:]
        return found + ([[] for _ in rest] if sure >= SURE else self._read(question, rest, request))

    def _read(self, question: str, passages: Sequence[str], request: Request | None) -> list[list[SpanAnswer]]:
        from mmgen.models.reader import table_records
        from mmgen.models.reader.span_bounds import whole

        if not passages:
            return []
        parts = self.model.asked(question) if hasattr(self.model, "asked") else [question]
        rows = [table_records.reading(text, question) for text in passages]
        shown = [row.text if row else text for row, text in zip(rows, passages, strict=True)]
        pairs = [pair for part in parts for pair in self.model.pairs(part, shown)]
        found: list[list[SpanAnswer]] = self.host.submit(f"read:{self.reference}", pairs, request)
        out = []
        for number, text in enumerate(passages):
            read = [(part, found[n * len(passages) + number]) for n, part in enumerate(parts)]
            part, best = max(read, key=lambda one: one[1][0].log_probability if one[1] else float("-inf"))
            best = _in_passage(best, rows[number])
            cuts = [whole(text, span.start, span.end, part) for span in best]
            asked = part if part != question else ""
            out.append([replace(span, start=a, end=b, asked=asked) for span, (a, b) in zip(best, cuts, strict=True)])
        return out

    def write(self, question: str, passage: str, request: Request | None = None) -> Iterator[str]:
        """Free text from the language-model head: not bound to the passage's words. Yields all that is written so far.

        Raises BadRequest for a plugin's reader that only finds spans.
        """
        if not hasattr(self.model, "begin"):
            raise BadRequest(f"{self.reference} only finds spans of passages; ask it with grounding strict or cite, not off")
        parts = self.model.asked(question) if hasattr(self.model, "asked") else [question]
        pair = self.model.pairs(parts[0], [passage])[0]
        handle = self.host.engine.submit(Job(f"write:{self.reference}", pair, request or Request.new()))
        try:
            yield from handle.events()
            yield handle.result()
        finally:
            if not handle.done():  # the reader of this stream left
                handle.leave()


def _in_passage(found: list[SpanAnswer], row: TableReading | None) -> list[SpanAnswer]:
    """Spans of what was read in a passage's place as spans of the passage, without those that it does not have."""
    if row is None:
        return found
    places = [(span, row.source(span.start, span.end)) for span in found]
    return [replace(span, start=place[0], end=place[1]) for span, place in places if place]


def load(host: ModelHost, reference: str) -> ReaderClient:
    """The client of a reader."""
    from mmgen.runners.reader_generate import ReaderGenerateRunner
    from mmgen.runners.token_batch import TokenBatchRunner

    runners, loader = (f"read:{reference}", f"write:{reference}"), registered(host.registry.readers, "reader")
    model: Any = host.open("reader", reference, runners=runners, loader=loader, precisions=False).model
    host.engine.add_runner(runners[0], TokenBatchRunner(model.read, row_bytes=256, work="reading"))
    if hasattr(model, "begin"):
        host.engine.add_runner(runners[1], ReaderGenerateRunner(model))
    return ReaderClient(host, reference, model)
