"""What a store answers to questions, one JSON line each, so that a run that was stopped goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.evaluation.rag_questions import RagQuestion, digest
from mmgen.pipelines.rag.word_overlap import ContentWords
from mmgen.rag_params import RagParams
from mmgen.training.eval.qa_metrics import exact_match, f1

if TYPE_CHECKING:
    from mmgen.pipelines.rag.answer import Answer
    from mmgen.pipelines.rag_text import RagText

SETTINGS, RESULTS = "settings.json", "results.jsonl"


@dataclass(frozen=True)
class RagOutcome:
    """Of one question."""

    id: str
    question: str
    answerable: bool
    relevant: list[int]  # ranks, from 1, of the retrieved passages that answer it
    text: str  # the answer, or why there is none
    abstained: bool
    confidence: float  # of the answer, or of the one that was not given
    exact: float  # of what was answered, or would have been: against the references, 0 or 1
    f1: float  # likewise, token F1
    unsupported: list[str]  # numbers and names of the answer that stand neither in a passage nor in the question
    milliseconds: dict[str, float]  # of each stage, and "total"


def ask(rag: RagText, question: RagQuestion, params: RagParams) -> RagOutcome:
    """Asks one question, and judges the answer."""
    began, guess = time.perf_counter(), ""
    answer: Answer | None = None
    for event in rag.stream(question.question, params=params):
        if event.kind == "candidates" and event.value:
            guess = event.value[0].text
        elif event.kind == "answer":
            answer = event.value
    assert answer is not None
    total = 1000 * (time.perf_counter() - began)
    given = guess if answer.abstained else answer.text
    relevant = [n for n, hit in enumerate(answer.passages, 1) if question.relevant(hit.uri, hit.passage.text)]
    return RagOutcome(
        question.id, question.question, question.answerable, relevant, answer.text, answer.abstained, answer.confidence,
        exact_match(given, question.answers), f1(given, question.answers), unsupported(answer),
        {**answer.timings, "total": total},
    )  # fmt: skip


def unsupported(answer: Answer) -> list[str]:
    """Numbers and names of an answer that stand neither in the passages that were read nor in the question."""
    if answer.abstained:
        return []
    known = ContentWords.of(answer.question).content.union(
        *(ContentWords.of(hit.passage.text).content | ContentWords.of(hit.passage.heading).content for hit in answer.passages)
    )
    return sorted(ContentWords.of(answer.text).needed - known)


def run(
    rag: RagText,
    questions: Sequence[RagQuestion],
    params: RagParams,
    folder: Path,
    settings: Mapping[str, Any],
    progress: Callable[[int], None] = lambda done: None,
) -> list[RagOutcome]:
    """Asks what `folder` does not hold yet, and writes each outcome as it comes.

    settings: what else the run depends on, such as the store and the models; kept beside the outcomes.

    Raises BadRequest where the folder holds a run with other settings or questions.
    """
    every = {**settings, **asdict(params), "questions": digest(questions)}
    _claim(folder, json.loads(json.dumps(every, default=str)))
    done = {one.id: one for one in stored(folder)}
    if len(done) < len(questions):
        rag(questions[0].question, params=params)  # loads the models, so that no question's time has that in it
    with (folder / RESULTS).open("a", encoding="utf-8") as out:
        for number, question in enumerate(questions):
            if question.id not in done:
                done[question.id] = ask(rag, question, params)
                out.write(json.dumps(asdict(done[question.id]), ensure_ascii=False) + "\n")
                out.flush()
            progress(number + 1)
    return [done[question.id] for question in questions]


def stored(folder: Path) -> Iterator[RagOutcome]:
    """The outcomes in a folder. A last line that was cut short is taken out of the file."""
    path = folder / RESULTS
    if not path.is_file():
        return
    whole = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            yield RagOutcome(**json.loads(line))
        except (ValueError, TypeError):
            with path.open("r+b") as file:
                file.truncate(whole)
            return
        whole += len(line)


def settings_of(folder: Path) -> dict[str, Any]:
    """Raises BadRequest where the folder holds no run."""
    try:
        values: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BadRequest(f"{folder} holds no evaluation; give the --out of an earlier `mmgen rag eval`") from None
    return values


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    if (folder / SETTINGS).is_file():
        before = settings_of(folder)
        changed = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
        if changed:
            name = changed[0]
            told = "other questions" if name == "questions" else f"{name}={before.get(name)}, not {settings.get(name)}"
            raise BadRequest(f"{folder} holds a run with {told}; give another --out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
