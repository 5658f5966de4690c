"""Merged weights are those of PEFT's functions and of hand-made sums; models and adapters of one base, and of others."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_lm
import torch
from cli_call import Call

from mmgen.errors import BadRequest
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.training import model_merging
from mmgen.training.model_merging import added
from mmgen.training.recipes.finetuning import FullFinetuning, LoraFinetuning, TuningConfig


@pytest.mark.parametrize("density", [0.25, 0.5])
def test_ties_is_that_of_peft(density: float) -> None:
    from peft.utils.merge_utils import ties

    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(12, 8, generator=generator) for _ in range(3)]
    weights = [1.0, 0.5, 2.0]
    expected = ties(vectors, torch.tensor(weights), density)
    assert torch.allclose(added(vectors, "ties", weights, density), expected, atol=1e-6)


def test_sums_and_means() -> None:
    vectors = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])]
    assert added(vectors, "task-arithmetic", [1.0, 0.5], 1.0).tolist() == [2.5, 1.0]
    assert added(vectors, "linear", [1.0, 3.0], 1.0).tolist() == [2.5, -1.0]


def test_models_and_adapters(call: Call, tmp_path: Path) -> None:
    """A model and an adapter added to their base: each weight has both changes; what is written answers as what was made."""
    base = tiny_lm.make(tmp_path / "base")
    generator = torch.Generator().manual_seed(0)
    whole = TextModel.load(base)
    before = {name: weight.clone() for name, weight in whole.lm.named_parameters()}
    with torch.no_grad():
        for weight in whole.lm.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    FullFinetuning(whole, base, frozen=False).save(tmp_path / "whole")
    adapted = LoraFinetuning(TextModel.load(base), base, str(base), TuningConfig())
    with torch.no_grad():
        for weight in adapted.learned().parameters():
            weight.add_(0.1)
    adapted.save(tmp_path / "adapter")
    called = call(
        "merge", base, tmp_path / "whole", tmp_path / "adapter", "-o", tmp_path / "out",
        "--method", "task-arithmetic", "--weight", "1", "--weight", "0.5",
    )  # fmt: skip
    assert called.code == 0 and "2 models merged into" in called.out
    merged = dict(TextModel.load(tmp_path / "out").lm.named_parameters())
    adapted.adapters.merge("tuned")
    with_adapter = dict(adapted.model.lm.named_parameters())
    for name, weight in before.items():
        both = weight + (dict(whole.lm.named_parameters())[name] - weight) + 0.5 * (with_adapter[name] - weight)
        assert torch.allclose(merged[name], both, atol=1e-6), name


def test_mistakes(call: Call, tmp_path: Path) -> None:
    base = tiny_lm.make(tmp_path / "base")
    with pytest.raises(BadRequest, match="1 models and 2 weights"):
        model_merging.merge(str(base), [str(base)], "ties", [1.0, 2.0])
    with pytest.raises(BadRequest, match="density is 0; it can be above 0"):
        model_merging.merge(str(base), [str(base)], "ties", [1.0], 0)
    with pytest.raises(BadRequest, match="the weights add up to 0"):
        model_merging.merge(str(base), [str(base)] * 2, "linear", [1.0, -1.0])
    narrow = tiny_lm.make(tmp_path / "narrow")
    lm = LanguageModel(replace(TextModel.load(narrow).lm.config, intermediate_size=48))
    language_model.save(lm, narrow, "llama", {"eos_token_id": 0})
    called = call("merge", base, narrow, "-o", tmp_path / "out")
    assert called.code == 2 and "has other layers than" in called.err and not (tmp_path / "out").exists()
