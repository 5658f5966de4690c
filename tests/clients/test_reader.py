"""The reader's client: spans and free text through the engine, and a plugin's reader that only finds spans."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmgen.errors import BadRequest
from mmgen.models.reader.calibration import SpanAnswer
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
