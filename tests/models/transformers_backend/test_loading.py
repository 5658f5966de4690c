"""Folders to models by their road, and a model of transformers' layers through all that the text runner does."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_causal
import torch
from tiny_llama import byte_tokenizer, make_llama

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, BadWeights, NotFound
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.models.transformers_backend.loading import UNLIMITED, load, max_tokens
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.paged import PagedUpstream
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime


def saved(folder: Path, kind: str = "persimmon", **more: Any) -> Path:
    tiny_causal.build(kind, vocab_size=264, eos_token_id=1, **more).save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def persimmon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("upstream") / "persimmon")


@pytest.fixture(scope="module")
def text(persimmon: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TextGeneration]:
    draft = saved(tmp_path_factory.mktemp("upstream") / "draft", num_hidden_layers=1)
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu", text=str(persimmon))) as rt:
        yield TextGeneration(rt, draft=str(draft))


def test_a_family_of_ours_is_native(tmp_path: Path) -> None:
    assert isinstance(load(make_llama(tmp_path)).lm, LanguageModel)


@pytest.mark.parametrize(("precision", "dtype"), [("", torch.float32), ("bf16", torch.bfloat16), ("int8", torch.float32)])
def test_precision(persimmon: Path, precision: str, dtype: torch.dtype) -> None:
    model = load(persimmon, precision=precision)
    lm: Any = model.lm
    assert isinstance(lm, PagedUpstream) and lm.dtype == dtype and model.max_tokens == 256
    assert any(isinstance(one, Int8Linear) for one in lm.modules()) is (precision == "int8")
    assert model.tokenizer.decode(model.encode("the way")) == "the way"


def test_refusals(persimmon: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="precision 'int3' is unknown"):
        load(persimmon, precision="int3")
    (saved(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(BadWeights, match="pickled"):
        load(tmp_path)


def test_a_model_that_differs_is_told_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert isinstance(load(saved(tmp_path, "doge")).lm, OwnCacheLM)
    assert "does not run on the shared KV cache" in caplog.text and "MaskRule" in caplog.text


def test_the_longest_text() -> None:
    assert max_tokens(tiny_causal.config("persimmon")) == max_tokens(tiny_causal.config("gpt_bigcode")) == 256
    assert max_tokens(object()) == UNLIMITED


def test_greedy_texts_are_the_librarys_and_guesses_change_nothing(text: TextGeneration, persimmon: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs, ids = AutoModelForCausalLM.from_pretrained(persimmon).eval(), text.rt.text().model.encode("the way home")
    given = torch.tensor([ids])
    out = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=40, do_sample=False)[0, len(ids) :]
    told: dict[str, Any] = {"strategy": "greedy", "max_tokens": 40}
    drafted, looked_up = text("the way home", **told), TextGeneration(text.rt)("the way home", **told, lookup=True)
    assert drafted.text == looked_up.text == text.rt.text().model.tokenizer.decode(out.tolist())
    assert drafted.usage.guessed > 0


def test_seeds_constraints_and_searches(text: TextGeneration) -> None:
    drawn = [text("the way", max_tokens=12, seed=5, n=2) for _ in range(2)]
    assert drawn[0].texts == drawn[1].texts
    assert text("the way", max_tokens=12, seed=5, regex="[a-c]{4}").text.strip("abc") == ""
    assert text("the way", max_tokens=8, strategy="beam", beams=2).text
    assert text("the way", max_tokens=8, strategy="contrastive").text


def test_adapters_are_for_our_own_layers(text: TextGeneration, tmp_path: Path) -> None:
    client = text.rt.text()
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadRequest, match="takes no adapters"):
        client.adapt(str(tmp_path))
    with pytest.raises(NotFound):
        client.adapt(str(tmp_path / "none"))
    maps = client.attention([1, 2, 3])  # drawn from any layers
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 4, 3))
