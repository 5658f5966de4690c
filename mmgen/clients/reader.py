"""Grounded readers through the engine: a question and passages in, answers out. Part of the wiring; knows no store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mmgen import hub, weight_files
from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest
from mmgen.models.encoders import known_scripts
from mmgen.models.reader.span_evidence import evidence, log_odds

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.clients.cross_encoder import CrossEncoderClient
    from mmgen.models.reader.calibration import Candidate, SpanAnswer
    from mmgen.models.reader.model import AnswerRow, ReaderModel
    from mmgen.models.reader.span_adapter import SpanAdapter
    from mmgen.models.reader.table_records import TableReading
    from mmgen.models.tuning.workload import Workload


FIRST = 2
"""Passages that are read in any case."""
SURE = 2.0
"""Log-odds of an answer against "no answer" from which further passages change nothing; as measured in docs/benchmarks.md."""

UNSUPPORTED = -3.0
"""Log-odds of a span against "no answer" up to which it is not judged."""


class ReaderClient:
    """A reader whose passes are the engine's."""

    def __init__(
        self,
        host: ModelHost,
        reference: str,
        model: ReaderModel,
        cross_encoder: Callable[[str], CrossEncoderClient] | None = None,
    ) -> None:
        """`cross_encoder`: opens the one of a reference, for a reader whose settings name a verifier."""
        self.host, self.reference, self.model = host, reference, model
        self.verifier = str(getattr(model, "settings", {}).get("verifier", ""))
        self.cross_encoder = cross_encoder
        self.adapter: SpanAdapter | None = None

    @property
    def adaptable(self) -> bool:
        """Whether it takes adapters of stores; a plugin's reader does not."""
        return hasattr(self.model, "states")

    @property
    def base(self) -> str:
        """Its reference without a precision."""
        return self.reference.partition("#")[0]

    @cached_property
    def digest(self) -> str:
        """sha256 of its weights."""
        return weight_files.digest(hub.resolve(self.base, kind="reader"))

    def adapted(self, weights: bytes | None) -> ReaderClient:
        """The same reader with a store's adapter, as `SpanAdapter.data` gives it; None: without one. Rows of both share passes.

        Raises BadWeights for other bytes.
        """
        from mmgen.models.reader import span_adapter

        other = copy(self)
        width, device = self.model.reader.transformer.config.hidden_size, str(self.model.reader.word_bias.device)
        other.adapter = None if weights is None else span_adapter.loaded(weights, width, device)
        return other

    def states(self, answers: Sequence[AnswerRow]) -> list[tuple[Tensor, Tensor]]:
        """See `ReaderModel.states`: a pass of the model between two turns of the engine."""
        found: list[tuple[Tensor, Tensor]] = self.host.engine.call_with(f"read:{self.reference}", self.model.states, answers)
        return found

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
        if self.adapter is not None:
            pairs = [replace(pair, adapter=self.adapter) for pair in pairs]
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

    def candidates(
        self,
        question: str,
        found: Sequence[Sequence[SpanAnswer]],
        passages: Sequence[str],
        similarities: Sequence[float],
        request: Request | None = None,
    ) -> list[Candidate]:
        """What was read, merged: see `Calibration.candidates`. The best one is judged by the verifier, if there is one."""
        judged = self.best_judged(question, found, passages, similarities, request)
        return self.model.calibration.candidates(judged, passages, similarities)

    def best_judged(
        self,
        question: str,
        found: Sequence[Sequence[SpanAnswer]],
        passages: Sequence[str],
        similarities: Sequence[float],
        request: Request | None = None,
    ) -> list[list[SpanAnswer]]:
        """The spans, of which the best candidate's likeliest has the verifier's log-odds; see `judged`."""
        out = [list(spans) for spans in found]
        merged = self.model.calibration.candidates(found, passages, similarities) if self.verifier else []
        if merged:
            number, span = merged[0].occurrences[0]
            [[judged]] = self.judged(question, [[span]], [passages[number]], request)
            out[number][out[number].index(span)] = judged
        return out

    def judged(
        self, question: str, found: Sequence[Sequence[SpanAnswer]], passages: Sequence[str], request: Request | None = None
    ) -> list[list[SpanAnswer]]:
        """The spans with the verifier's log-odds that what stands around them supports them; 0 for one of which the reader
        itself thinks so little that no verifier would save it."""
        if not self.verifier or self.cross_encoder is None:
            return [list(spans) for spans in found]
        model = self.cross_encoder(self.verifier)
        spans = [(n, span) for n, some in enumerate(found) for span in some]
        by_part: dict[str, list[int]] = {}
        for at, (_, span) in enumerate(spans):
            if span.log_probability - span.no_answer > UNSUPPORTED:
                by_part.setdefault(span.asked or question, []).append(at)
        odds = [0.0] * len(spans)
        for part, places in by_part.items():
            texts = [evidence(passages[spans[at][0]], spans[at][1].start, spans[at][1].end) for at in places]
            for at, score in zip(places, model.score(part, texts, request).tolist(), strict=True):
                odds[at] = log_odds(score)
        out: list[list[SpanAnswer]] = [[] for _ in found]
        for (n, span), value in zip(spans, odds, strict=True):
            out[n].append(replace(span, verified=value))
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


def load(host: ModelHost, reference: str, cross_encoder: Callable[[str], CrossEncoderClient] | None = None) -> ReaderClient:
    """The client of a reader, whose reference may end with a precision. `cross_encoder` opens its verifier."""
    from mmgen.runners.reader_generate import ReaderGenerateRunner
    from mmgen.runners.token_batch import TokenBatchRunner

    runners, loader = (f"read:{reference}", f"write:{reference}"), registered(host.registry.readers, "reader")
    model: Any = host.open("reader", reference, runners=runners, loader=loader, workload=workload).model
    host.engine.add_runner(runners[0], TokenBatchRunner(model.read, row_bytes=256, work="reading"))
    if hasattr(model, "begin"):
        host.engine.add_runner(runners[1], ReaderGenerateRunner(model))
    return ReaderClient(host, reference, model, cross_encoder)


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.readers import ReaderWorkload

    return ReaderWorkload()
