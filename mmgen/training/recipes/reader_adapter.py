"""A store's adapter of the reader, learned from its feedback: kept only if it answers questions it has not seen better."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.library.document_library import DocumentLibrary
from mmgen.library.store_handle import prompts_of
from mmgen.stores.relational.adapters import StoreAdapter
from mmgen.stores.relational.documents import RelationalDocumentStore
from mmgen.training.eval.paired_test import sign_flip_p
from mmgen.training.feedback import examples
from mmgen.training.feedback.examples import ReadingExample
from mmgen.training.feedback.fit import AdapterSettings, fit, training_rows

if TYPE_CHECKING:
    from mmgen.clients.reader import ReaderClient
    from mmgen.runtime import Runtime

log = logging.getLogger(__name__)
LEAST = 16
"""Answers to learn from."""
LEAST_HELD_OUT = 8
"""Answers to judge by: with fewer, no gain is sure."""
MOST = 400
"""Answers that are learned from: the newest."""
STRENGTHS = (1.0, 0.5, 0.25)
CHANCE = 0.05
"""Largest p of a gain that is taken."""


@dataclass(frozen=True)
class Learned:
    """What came of it. Scores are means over questions, 0 to 1; see `ReadingExample.score`."""

    taken: bool
    reason: str
    name: str  # of the adapter; empty: none was made
    trained: int  # answers learned from
    held_out: int  # answers it was judged by
    before: float = 0.0  # score of these
    after: float = 0.0
    p: float = 1.0  # that such a gain comes by chance
    general: int = 0  # general questions it was judged by
    general_before: float = 0.0
    general_after: float = 0.0
    strength: float = 0.0
    bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        told = f"adapter {self.name} is used from now on" if self.taken else "the reader stays as it was"
        lines = [f"{told}: {self.reason}", f"learned from {self.trained} answers in {self.seconds:.0f} s"]
        if self.name:
            lines.append(f"{self.held_out} held-out answers: {self.before:.3f} -> {self.after:.3f} (p = {self.p:.3f})")
            lines.append(f"{self.general} general questions: {self.general_before:.3f} -> {self.general_after:.3f}")
        return "\n".join(lines)


def learn(
    rt: Runtime,
    library: DocumentLibrary,
    store: RelationalDocumentStore,
    reader: str | None = None,
    settings: AdapterSettings | None = None,
) -> Learned:
    """Trains an adapter on the feedback, and keeps it in the store if it answers the held-out feedback better, which chance
    makes in less than CHANCE of cases, and the general questions not worse. One that was kept before stays otherwise, if it is
    of the same reader.

    Raises BadRequest where there is too little feedback, and for a reader that takes no adapters.
    """
    began, settings = time.perf_counter(), settings or AdapterSettings()
    said = store.feedback.all()
    seen, held = [one for one in said if not one.held_out][-MOST:], [one for one in said if one.held_out]
    if len(seen) < LEAST or len(held) < LEAST_HELD_OUT:
        raise BadRequest(
            f"store {library.name} has feedback on {len(seen)} answers to learn from and {len(held)} to judge by; it takes "
            f"{LEAST} and {LEAST_HELD_OUT}, give more: mmgen rag feedback QUESTION --answer ... --right or --wrong"
        )
    base = rt.reader(reader)
    if not base.adaptable:
        raise BadRequest(f"reader {base.reference} takes no adapters; learn with embedded:reader, or one like it")
    learned = [examples.from_feedback(library, store, one) for one in seen]
    judged = [examples.from_feedback(library, store, one) for one in held]
    general = _general(rt, store)
    rows = training_rows(base, learned, settings)
    if not rows:
        raise BadRequest(f"none of {len(seen)} answers stands in a passage that is read; give the right words with --span")
    adapter = fit(base, rows, training_rows(base, general[0], settings), settings)
    score = partial(_scores, base)
    chosen, strength = None, 0.0
    before = score(general[1])
    for strength in STRENGTHS:
        chosen = adapter.scaled(strength).data()
        if sum(score(general[1], chosen)) >= sum(before):
            break
    else:
        chosen = None
    name = "" if chosen is None else StoreAdapter("reader", "", "", chosen).name
    result = partial(Learned, name=name, trained=len(seen), held_out=len(held), general=len(general[2]))
    if chosen is None:
        why = f"at every strength it answers {len(general[1])} general questions worse"
        return result(taken=False, reason=why, seconds=time.perf_counter() - began)
    was, now = score(judged), score(judged, chosen)
    knew, knows = score(general[2]), score(general[2], chosen)
    p = sign_flip_p([new - old for old, new in zip(was, now, strict=True)])
    figures: dict[str, Any] = {
        "before": fmean(was), "after": fmean(now), "p": p, "general_before": fmean(knew), "general_after": fmean(knows),
        "strength": strength, "bytes": len(chosen),
    }  # fmt: skip
    reason = _refused(was, now, knew, knows, p)
    if not reason:
        facts = {**figures, "trained": len(seen), "held_out": len(held), "general": len(general[2])}
        store.adapters.put(StoreAdapter("reader", base.base, base.digest, chosen, facts))
    told = reason or "it answers held-out feedback better and general questions not worse"
    return result(taken=not reason, reason=told, seconds=time.perf_counter() - began, **figures)


def _refused(was: Sequence[float], now: Sequence[float], knew: Sequence[float], knows: Sequence[float], p: float) -> str:
    """Why an adapter is not taken; empty: it is."""
    if sum(now) <= sum(was):
        return "it does not answer the held-out feedback better"
    if p > CHANCE:
        return f"it answers the held-out feedback better, but chance does so with p = {p:.3f} > {CHANCE}; give more feedback"
    return "it answers general questions worse" if sum(knows) < sum(knew) - 1e-9 else ""


def _general(rt: Runtime, store: RelationalDocumentStore) -> tuple[list[ReadingExample], ...]:
    """To learn from, to choose by, to judge by; with the similarities that the store's encoder gives."""
    questions = examples.general_questions()
    encoder, prompts = rt.encoder(store.encoder), prompts_of(store)
    texts = list(dict.fromkeys(text for one in questions for text in one.passages))
    vectors = dict(zip(texts, encoder.embed_text(texts, None, "document", prompts), strict=True))
    asked = encoder.embed_text([one.question for one in questions], None, "query", prompts)
    parts: tuple[list[ReadingExample], ...] = ([], [], [])
    for one, vector in zip(questions, asked, strict=True):
        similar = [float(vector @ vectors[text]) for text in one.passages]
        parts[one.part].append(examples.from_general(one, similar))
    return parts


def _scores(base: ReaderClient, some: Sequence[ReadingExample], adapter: bytes | None = None) -> list[float]:
    """Of each question, answered as `mmgen rag ask` answers it."""
    answered: Callable[[ReadingExample], str | None] = partial(_answer, base.adapted(adapter))
    return [one.score(answered(one)) for one in some]


def _answer(reader: ReaderClient, one: ReadingExample) -> str | None:
    """None: it abstains."""
    calibration = reader.model.calibration
    found = reader.read(one.question, one.texts)
    candidates = reader.candidates(one.question, found, one.texts, one.similarities) if found else []
    sure = calibration.assessed(candidates, one.similarities, one.question, one.texts)
    return candidates[0].text if candidates and sure >= calibration.threshold else None
