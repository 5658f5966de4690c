"""LoRA: PEFT's files both ways, several adapters in one batch, merged."""

from pathlib import Path

import pytest
import tiny_corpus
import torch
from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.models import transformer_config
from mmgen.models.lm import language_model, lora_files
from mmgen.models.lm.adapters import peft_files
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.lora import Adapters
from mmgen.models.quantization.int8 import quantize

IDS = torch.arange(20).view(2, 10) % 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lm")
    torch.manual_seed(0)
    config = transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 50, "num_kv_heads": 1})
    language_model.save(LanguageModel(config), place, "llama", {"eos_token_id": 0})
    return place


def fresh(folder: Path) -> tuple[LanguageModel, Adapters]:
    lm = language_model.load(folder)
    return lm, Adapters(lm, lora_files.names_of(folder, lm))


def shaken(adapters: Adapters, name: str, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in adapters.parameters(name):
            parameter.normal_(std=0.3)


@torch.inference_mode()
def logits(lm: LanguageModel, adapters: Adapters | None = None, rows: Tensor | str | None = None, ids: Tensor = IDS) -> Tensor:
    if adapters is None:
        return lm(ids)
    with adapters.use(rows):
        return lm(ids)


def test_a_new_adapter_changes_nothing(folder: Path) -> None:
    lm, adapters = fresh(folder)
    before = logits(lm)
    adapters.add("a", targets=["q_proj", "v_proj", "gate_proj", "down_proj"])
    assert torch.equal(logits(lm, adapters, "a"), before)
    assert sum(p.numel() for p in adapters.parameters("a")) == 2 * 8 * ((32 + 32) + (32 + 16) + (32 + 64) + (64 + 32))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft calls what transformers deprecates
def test_round_trip_with_peft(folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lm, adapters = fresh(folder)
    adapters.add("a", rank=4, alpha=6, targets=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"])
    shaken(adapters, "a", 1)
    lora_files.save(adapters, "a", tmp_path / "ours", str(folder))
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "ours")
    with torch.inference_mode():
        expected = theirs(IDS).logits
    torch.testing.assert_close(logits(lm, adapters, "a"), expected, atol=1e-4, rtol=1e-4)
    assert (logits(lm) - expected).abs().max() > 0.01

    theirs.save_pretrained(str(tmp_path / "theirs"))
    again, others = fresh(folder)
    peft_files.load(others, "b", tmp_path / "theirs")
    torch.testing.assert_close(logits(again, others, "b"), expected, atol=1e-4, rtol=1e-4)


def test_several_in_one_batch(folder: Path) -> None:
    lm, adapters = fresh(folder)
    for seed, name in enumerate(("a", "b")):
        adapters.add(name, rank=seed + 2, targets=["q_proj", "up_proj"][: seed + 1])
        shaken(adapters, name, seed)
    ids = IDS[:1].expand(3, -1)
    together = logits(lm, adapters, torch.tensor([1, -1, 0]), ids)
    for row, alone in zip(together, ("b", None, "a"), strict=True):
        torch.testing.assert_close(row, logits(lm, adapters, alone, ids[:1])[0], atol=1e-5, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01 < (together[2] - together[1]).abs().max()
    places = torch.tensor([[0] * 4 + [-1] * 6])
    assert not torch.equal(logits(lm, adapters, places, ids[:1]), together[1:2])


def test_merged(folder: Path) -> None:
    lm, adapters = fresh(folder)
    adapters.add("a", targets=["k_proj", "o_proj", "gate_proj"])
    shaken(adapters, "a", 1)
    expected = logits(lm, adapters, "a")
    adapters.merge("a")
    torch.testing.assert_close(logits(lm), expected, atol=1e-4, rtol=1e-4)
    assert not any("loras" in name for name, _ in lm.named_parameters())


def test_over_int8_weights(folder: Path) -> None:
    lm = language_model.load(folder)
    names = lora_files.names_of(folder, lm)
    adapters = Adapters(quantize(lm), names)
    adapters.add("a")
    shaken(adapters, "a", 1)
    assert (logits(lm, adapters, "a") - logits(lm)).abs().max() > 0.01


def test_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    _, adapters = fresh(folder)
    with pytest.raises(BadRequest, match="no layer is called c_attn; there are down_proj, gate_proj"):
        adapters.add("a", targets=["c_attn"])
    adapters.add("a")
    with pytest.raises(BadRequest, match='there is an adapter "a" already'):
        adapters.add("a")
    lora_files.save(adapters, "a", tmp_path)
    torch.manual_seed(0)
    wide = LanguageModel(transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 50, "hidden_size": 64}))
    with pytest.raises(BadWeights, match=r"lora_A is \(8, 32\) instead of \(8, 64\)"):
        peft_files.load(Adapters(wide, lora_files.names_of(folder, wide)), "a", tmp_path)
    with pytest.raises(BadWeights, match="which this model has not"):
        peft_files.load(Adapters(wide, wide.names()), "a", tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "VERA"}')
    with pytest.raises(BadWeights, match="of the kind VERA; LORA, IA3, PREFIX_TUNING, PROMPT_TUNING, P_TUNING are read"):
        peft_files.load(adapters, "b", tmp_path)
