"""How grounded readers choose their precision: questions about a paragraph, judged by their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.quantization.int8 import as_published
from mmgen.models.reader.answer_match import f1
from mmgen.models.reader.model import PRECISIONS, ReaderModel
from mmgen.models.tuning import gates
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.texts import PASSAGE, SENTENCES
from mmgen.models.tuning.workload import Workload

QUESTIONS = (
    (PASSAGE, "What was the lighthouse built of?", "granite blocks"),
    (PASSAGE, "What did the lamp burn at first?", "rapeseed oil"),
    (SENTENCES[2], "What conducts heat about eight times as well as steel?", "Copper"),
    (SENTENCES[0], "When does the ferry leave?", "at ten"),
    (PASSAGE, "How was the bell struck in fog?", "by hand"),
    (PASSAGE, "To whom were the cottages let?", "to painters"),
    (SENTENCES[3], "Where did she send the parcel?", "the harbour office"),
    (SENTENCES[4], "Who should a patient with a fever be seen by?", "a doctor"),
    (PASSAGE, "Where did the stones come from?", "a quarry forty miles to the north"),
    (PASSAGE, "How long were the turns of the keepers?", "four hours"),
    (PASSAGE, "What replaced the bell?", "a steam horn"),
    (PASSAGE, "What did the painters praise?", "the colour of the water in early spring"),
    (PASSAGE, "How much does the old lens weigh?", "more than two tons"),
    (PASSAGE, "What does the lens float on?", "a bath of mercury"),
    (SENTENCES[9], "What are the long low hills called?", "moraines"),
    (SENTENCES[10], "What binds proteins that do not fold?", "a chaperone"),
    (SENTENCES[11], "By how many votes was the budget approved?", "five votes to three"),
    (SENTENCES[11], "What was debated?", "the library's opening hours on Sundays"),
)
"""A passage, a question and its answer; none of them is in a training set of ours."""
FEW = 8
"""Of them are asked while a model loads for the first time."""


class ReaderWorkload(Workload):
    """Readers of our own transformer. The one that is safe is the one that a reader was published with."""

    kind: ClassVar = "reader"

    def candidates(self, folder: Path) -> tuple[str, ...]:
        published = safetensors_io.read_json(folder / "config.json").get("activations", "fp32")
        if published not in PRECISIONS:
            raise BadWeights(f"{folder / 'config.json'} has activations {published!r}; write {', '.join(PRECISIONS)}")
        safe = as_published(published)
        return safe, *(other for other in reversed(PRECISIONS) if other != safe)

    def takes(self, model: Any) -> bool:
        return isinstance(model, ReaderModel)

    def run(self, model: ReaderModel) -> None:
        model.read(model.pairs(QUESTIONS[0][1], [PASSAGE, SENTENCES[10]]))

    def results(self, model: ReaderModel, thorough: bool) -> Iterator[np.ndarray]:
        """(N, 2) of each passage's questions: F1 and log-odds; first of one alone."""
        asked = QUESTIONS if thorough else QUESTIONS[:FEW]
        yield self._read(model, asked[:1])
        for first in range(0, len(asked), 2):
            yield self._read(model, asked[first : first + 2])

    def _read(self, model: ReaderModel, asked: tuple[tuple[str, str, str], ...]) -> np.ndarray:
        found = model.read([model.pairs(question, [passage])[0] for passage, question, _ in asked])
        return np.array([
            (f1(passage[span.start : span.end], [answer]), span.log_probability - span.no_answer)
            for (passage, _, answer), (span,) in zip(asked, found, strict=True)
        ])  # fmt: skip

    def judge(self, reference: list[np.ndarray], found: list[np.ndarray]) -> Verdict:
        alone, *rest = found
        return gates.answers(np.concatenate(reference[1:]), np.concatenate(rest)) & gates.company(alone, rest[0][:1])
