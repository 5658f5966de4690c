"""Qwen 3.5: transformers' logits and tokens, alone and batched."""

import logging
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
import transformers
from checkpoints import GROUPED, rope
from decoder_checks import check, prompts, written
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.lm import families, language_model
from mmgen.models.lm.adapters.prefix_tuning import Prefix
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.transformers_backend import backend
from mmgen.runners.generation import TextRequest, Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

TEXT = {
    **GROUPED, "num_hidden_layers": 3, "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 8,
    **rope(partial_rotary_factor=0.5),
}  # fmt: skip


def text() -> Any:
    return transformers.Qwen3_5ForCausalLM(transformers.Qwen3_5TextConfig(**TEXT))


def whole() -> Any:
    vision = {
        "hidden_size": 32, "depth": 1, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64, "patch_size": 14,
        "num_position_embeddings": 16, "spatial_merge_size": 1, "temporal_patch_size": 1,
    }  # fmt: skip
    return transformers.Qwen3_5ForConditionalGeneration(transformers.Qwen3_5Config(text_config=TEXT, vision_config=vision))


@pytest.mark.parametrize("maker", [text, whole])
def test_as_transformers(maker: checkpoints.Maker, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ours = check(maker, tmp_path)
    assert backend.backend_of(tmp_path) == "native"
    assert ("this model writes text alone" in caplog.text) == (maker is whole)
    assert [layer.size for layer in ours.config.kv_layers] == [0, 64, 0]
    assert ours.config.state_bytes == 2 * 4 * (96 * 3 + 4 * 16 * 8)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("qwen")
    checkpoints.saved(text, folder)
    return language_model.load(folder)


def runner(lm: LanguageModel, blocks: int = 100) -> TextRunner:
    vocabulary = Vocabulary(lambda ids: "?" * len(ids), frozenset())
    return TextRunner(lm, vocabulary, memory=blocks * TextRunner(lm, vocabulary, memory=0).places.block_bytes, budget=24)


def texts(one: TextRunner, *requests: TextRequest) -> list[list[tuple[int, ...]]]:
    with Engine({"text": one}) as engine:
        handles = [engine.submit(Job("text", request, seed=1)) for request in requests]
        return [[tuple(each.ids) for each in handle.result(60).texts] for handle in handles]


def test_states_of_beams_and_after_preemption(lm: LanguageModel) -> None:
    beams = text_request(prompts()[1], 20, strategy="beam", beams=3)
    drawn = [text_request(text, 40, Sampling(temperature=0.8)) for text in prompts()]
    few, many = runner(lm, 10), runner(lm)
    alone = [texts(runner(lm), request)[0] for request in (beams, *drawn)]
    assert texts(many, beams, *drawn) == alone and not many.places.pool.states
    assert texts(few, *drawn) == alone[1:] and few.places.preempted
    assert alone[0][0] != texts(many, text_request(prompts()[1], 20, Sampling(temperature=0)))[0][0]


def test_a_pass_that_fails_leaves_states_as_they_were(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [text_request(text, 12, Sampling(temperature=0)) for text in prompts()]
    alone, one, calls = [texts(runner(lm), request)[0] for request in requests], runner(lm), iter(range(1000))
    last = type(lm).logits

    def failing(self: LanguageModel, hidden: torch.Tensor) -> torch.Tensor:
        if next(calls) == 5:
            raise RuntimeError("out of memory")
        return last(self, hidden)

    monkeypatch.setattr(type(lm), "logits", failing)
    assert texts(one, *requests) == alone


def test_saved_in_our_own_format(lm: LanguageModel, tmp_path: Path) -> None:
    language_model.save(lm, tmp_path)
    assert written(language_model.load(tmp_path), prompts()[:1]) == written(lm, prompts()[:1])


def test_what_is_refused(lm: LanguageModel) -> None:
    config = text().config.to_dict()
    with pytest.raises(BadWeights, match=r"biases in attention; Qwen 3\.5 has silu and none"):
        families.FAMILIES["qwen3_5_text"].shape({**config, "attention_bias": True})
    with pytest.raises(BadRequest, match="cannot step back behind a wrong guess; leave out lookup"):
        texts(runner(lm), text_request([3, 4], 5, lookup=3))
    with pytest.raises(BadRequest, match="leave the draft model out"):
        TextRunner(lm, Vocabulary(str, frozenset()), memory=0, draft=lm)
    with pytest.raises(BadRequest, match="take a LoRA"):
        Prefix(lm.config, 3)
