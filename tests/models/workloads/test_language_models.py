"""The candidates of language models, on a tiny one: what they are judged by, and that quantized weights stay as they are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

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
