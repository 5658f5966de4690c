"""Prefixes: what PEFT makes of ours, and we of PEFT's."""

from pathlib import Path

import pytest
import tiny_lm
import torch

from mmgen.errors import BadWeights
from mmgen.models.lm import language_model
from mmgen.models.lm.adapters import prefix_tuning
from mmgen.models.lm.adapters.prefix_tuning import Prefix

IDS = torch.arange(20).view(2, 10) % 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


@pytest.mark.filterwarnings("ignore")  # what peft says of transformers' caches
def test_round_trip_with_peft(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lm = language_model.load(folder)
    prefix = Prefix(lm.config, 5)
    torch.nn.init.normal_(prefix.values, std=1.0)
    prefix_tuning.save(prefix, tmp_path / "ours", str(folder))
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "ours")
    with torch.inference_mode():
        expected = theirs(IDS).logits
        found = lm(IDS, cache=prefix.cache(2))
        assert (lm(IDS) - found).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    assert torch.equal(prefix_tuning.load(lm, tmp_path / "theirs").values, prefix.values)


def test_begins_as_words(folder: Path) -> None:
    lm = language_model.load(folder)
    prefix = Prefix(lm.config, 5)
    prefix.begin(lm)
    ids = torch.randint(300, (1, 5), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = lm(torch.cat((ids, IDS[:1]), 1))[:, 5:]
        torch.testing.assert_close(lm(IDS[:1], cache=prefix.cache(1)), expected, atol=1e-5, rtol=1e-4)


def test_of_another_model(folder: Path, tmp_path: Path) -> None:
    lm = language_model.load(folder)
    prefix_tuning.save(Prefix(lm.config, 5), tmp_path)
    settings = (tmp_path / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(settings.replace('"num_virtual_tokens": 5', '"num_virtual_tokens": 6'))
    with pytest.raises(BadWeights, match=r"is \(5, 64\) instead of \(6, 64\)"):
        prefix_tuning.load(lm, tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(BadWeights, match="of the kind LORA"):
        prefix_tuning.load(lm, tmp_path)
