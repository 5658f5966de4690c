"""The reader's client: spans and free text through the engine, and a plugin's reader that only finds spans."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmgen.clients.reader import ReaderClient
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.models.reader.calibration import Calibration, SpanAnswer
from mmgen.models.reader.span_bounds import whole
from mmgen.registry import Registry
from mmgen.runtime import Runtime


class FirstWord:
    """A plugin's reader: the answer is the first word."""

    def pairs(self, question: str, passages: Sequence[str]) -> list[str]:
        return list(passages)

    def read(self, pairs: Sequence[str]) -> list[list[SpanAnswer]]:
        return [[SpanAnswer(0, len(passage.split()[0]), -0.1, -2.0)] for passage in pairs]


def load(folder: Path, device: str, name: str) -> FirstWord:
    return FirstWord()


def test_spans_and_free_text(tiny_runtime: Runtime) -> None:
    client, passages = tiny_runtime.reader(), ["The lamp was lit in 1823.", "A cat."]
    assert client.read("When?", []) == []
    for (found,), passage in zip(client.read("When?", passages), passages, strict=True):
        ((alone,),) = client.model.read(client.model.pairs("When?", [passage]))
        assert (found.start, found.end) == whole(passage, alone.start, alone.end, "When?")
        assert found.log_probability == pytest.approx(alone.log_probability, abs=1e-5)
    (asked,) = client.read("It is late. " * 40 + "When?", passages[:1])[0]
    assert asked.asked.endswith("When?") and 0 <= asked.start < asked.end <= len(passages[0])
    *_, text = client.write("When?", passages[0])
    state = client.model.begin(client.model.pairs("When?", passages[:1])[0])
    while client.model.write(state):
        pass
    assert text == client.model.tokenizer.decode(state.ids)


def test_a_plugins_reader_may_only_find_spans(tiny_runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Registry("odd")
    plugin.readers.add("first-word", f"{__name__}:load")
    monkeypatch.setattr(tiny_runtime.registry, "readers", plugin.readers)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "first-word"}))
    save_file({"none": torch.zeros(1)}, tmp_path / "model.safetensors")
    client = tiny_runtime.reader(str(tmp_path))
    assert client.read("Who?", ["Anna came."]) == [[SpanAnswer(0, 4, -0.1, -2.0)]]
    with pytest.raises(BadRequest, match="only finds spans of passages; ask it with grounding strict or cite, not off"):
        next(client.write("Who?", "Anna came."))


class Sure:
    """A reader that is as sure as each passage's first word says, and a verifier that scores by length."""

    settings = {"verifier": "some:verifier"}  # noqa: RUF012  a test
    calibration = Calibration()
    name = "sure"

    def pairs(self, question: str, passages: Sequence[str]) -> list[str]:
        return list(passages)

    def read(self, pairs: Sequence[str]) -> list[list[SpanAnswer]]:
        return [[SpanAnswer(0, 2, -0.1, -0.1 - float(passage.split()[0]))] for passage in pairs]

    def score(self, question: str, texts: Sequence[str], request: Request | None = None) -> np.ndarray:
        return np.array([0.5 if question == "Who?" and text.startswith("10 | ") else 0.9 for text in texts])


class Direct:
    """A host without an engine."""

    def __init__(self, model: Sure) -> None:
        self.model = model

    def submit(self, runner: str, pairs: Sequence[str], request: Request | None = None) -> list[list[SpanAnswer]]:
        return self.model.read(pairs)


def sure() -> ReaderClient:
    model = Sure()
    return ReaderClient(Direct(model), "sure", model, lambda _: model)  # type: ignore[arg-type]


def test_a_sure_answer_ends_the_reading() -> None:
    texts = ["1  a.", "10 b.", "20 c."]
    assert [len(found) for found in sure().read("Who?", texts)] == [1, 1, 0]
    assert [len(found) for found in sure().read("Who?", [texts[0], texts[0], texts[2]])] == [1, 1, 1]


def test_the_best_candidate_is_judged_by_the_verifier() -> None:
    texts = ["1  a.", "10 b."]
    client = sure()
    found = client.read("Who?", texts)
    best, other = client.candidates("Who?", found, texts, [0.5, 0.5])
    assert best.occurrences[0][1].verified == pytest.approx(2.197, abs=1e-3) and other.occurrences[0][1].verified == 0.0
    assert [[round(span.verified, 1) for span in spans] for spans in client.judged("Who?", found, texts)] == [[2.2], [0.0]]
    best_alone = client.best_judged("Who?", found, texts, [0.5, 0.5])
    assert [[span.verified > 0 for span in spans] for spans in best_alone] == [[True], [False]]
    client.verifier = ""
    assert client.judged("Who?", found, texts) == client.best_judged("Who?", found, texts, [0.5, 0.5]) == found
