"""The candidates of language models, on a tiny one: what they are judged by, and that quantized weights stay as they are."""

import json
import shutil
from pathlib import Path

import gguf_models
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type

from mmgen.models.cpu import build
from mmgen.models.lm import text_model
from mmgen.models.lm.text_model import TextModel
from mmgen.models.workloads import language_models
from mmgen.models.workloads.language_models import TextWorkload


def test_perplexity_is_judged(tiny_llama: Path) -> None:
    work, found = TextWorkload(), []
    for precision in work.candidates(tiny_llama):
        model = TextModel.load(tiny_llama, precision=precision)
        model.pack()
        assert work.takes(model)
        work.run(model)
        found.append(list(work.results(model, False)))
    exact, rounded = found
    assert len(exact) == 3 and np.isfinite(rounded[2]).all() and len(exact[2]) > 100
    assert work.judge(exact, exact).accepted and "perplexity +0.00%" in work.judge(exact, exact).figure
    assert not work.judge(exact, [*exact[:2], exact[2] + 0.006]).accepted
    assert not work.judge(exact, [exact[0], exact[1] + 0.1 * np.abs(exact[1]).max(), exact[2]]).accepted


@pytest.mark.skipif(build.library() is None, reason=f"there are no kernels here: {build.reason()}")
def test_inputs_of_blocks_are_judged_by_thousands_of_tokens_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, work = tmp_path / "tiny.gguf", TextWorkload()
    gguf_models.llama_file(path, Type.Q8_0)
    assert work.candidates(path) == ("exact", "a8") and work.asked_only(path) and not work.asked_only(tmp_path)
    words = "the lamp burned through the night, and the keeper slept until the fog came"
    monkeypatch.setattr(language_models, "samples", lambda: [words])
    monkeypatch.setattr(language_models, "CHUNK", 30)
    found = []
    for precision in work.candidates(path):
        model = TextModel.load(path, precision=precision)
        model.pack()
        found.append(list(work.results(model, True)))
    ids = torch.tensor(model.tokenizer.encode(words).ids)
    (exact, rounded), count = found, -(-(len(ids) - 1) // 30)
    assert sum(map(len, exact[-count:])) == len(ids) - 1
    with torch.inference_mode():
        expected = torch.nn.functional.cross_entropy(model.lm(ids[None, :30])[0], ids[1:31], reduction="none")
    np.testing.assert_allclose(rounded[-count], expected, rtol=1e-4)
    assert work.judge(exact, rounded).accepted and not np.array_equal(exact[-1], rounded[-1])
    monkeypatch.undo()
    assert len(" ".join(language_models.samples()).split()) > 3000


def test_passes_give_the_logits_of_one(tiny_llama: Path) -> None:
    lm = TextModel.load(tiny_llama).lm
    rows = [list(range(5, 25)), list(range(30, 50))]
    whole = language_models.read(lm, rows, [20])
    np.testing.assert_allclose(language_models.read(lm, rows, [17, 1, 1, 1]), whole, atol=1e-4)


@pytest.mark.parametrize("values", [{"quantization_config": {"quant_method": "awq"}}, {"mmgen_precision": "int8"}])
def test_quantized_folders_have_nothing_to_choose(values: dict[str, object], tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    assert TextWorkload().candidates(tmp_path / "model") == ("",)
    assert not TextWorkload().takes(text_model)
