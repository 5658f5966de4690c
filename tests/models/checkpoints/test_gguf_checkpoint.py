"""GGUF files as models: logits and greedy texts are those of transformers with the values that the files give."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import checkpoints
import gguf_models
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from tiny_llama import byte_tokenizer
from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import gguf_writer
from mmgen.models.lm import gguf_export, language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel

GROUPED = {**checkpoints.GROUPED, "vocab_size": gguf_models.VOCABULARY}
LONG = {"rope_type": "longrope", "short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]}
WINDOWED = {"head_dim": 32, "sliding_window": 8, "query_pre_attn_scalar": 32}


def llama3_factors(theta: float = 1000.0, size: int = 16, original: int = 32) -> Tensor:
    """What llama.cpp's converter makes of Llama 3's scaling by 8: how much slower each frequency turns."""
    plain = theta ** -(torch.arange(0, size, 2) / size)
    smooth = (original * plain / (2 * math.pi) - 1) / 3
    return 1 / ((1 - smooth.clamp(0, 1)) / 8 + smooth.clamp(0, 1))


@dataclass(frozen=True)
class Case:
    maker: checkpoints.Maker
    architecture: str
    more: dict[str, Any] = field(default_factory=dict)
    permuted: bool = False
    plus_one: bool = False
    extra: dict[str, Tensor] = field(default_factory=dict)


def llama(values: dict[str, Any], **told: Any) -> Case:
    return Case(checkpoints.llama(**{**gguf_models.SIZES, **values}), "llama", permuted=True, **told)


def other(name: str, architecture: str, values: dict[str, Any], **told: Any) -> Case:
    config = name.removesuffix("ForCausalLM") + ("TextConfig" if name.startswith("Gemma3") else "Config")
    return Case(checkpoints.make(name, config, {**GROUPED, **values}), architecture, **told)


YARN = checkpoints.rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
LINEAR = checkpoints.rope(rope_type="linear", factor=3.0)
LLAMA3 = checkpoints.rope(original_max_position_embeddings=32, **checkpoints.LLAMA3)
PHI_LONG = {
    "rope.scaling.original_context_length": 64,
    "rope.scaling.attn_factor": math.sqrt(1 + math.log(2) / math.log(64)),
}
PHI_FACTORS = {f"rope_factors_{one}.weight": torch.tensor(LONG[f"{one}_factor"]) for one in ("long", "short")}
GRANITE = {
    "embedding_multiplier": 2.0, "residual_multiplier": 0.5, "attention_multiplier": 0.1, "logits_scaling": 3.0,
}  # fmt: skip
GPT_OSS = {
    **checkpoints.rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, truncate=False),
    "head_dim": 16, "num_local_experts": 5, "num_experts_per_tok": 2, "sliding_window": 8, "attn_implementation": "eager",
}  # fmt: skip
GPT_OSS_TOLD = {
    "expert_count": 5, "expert_used_count": 2, "expert_feed_forward_length": 96, "attention.sliding_window": 8,
    "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32,
}  # fmt: skip
CASES = {
    "llama": llama({}),
    "llama-tied": llama({"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama3": llama(LLAMA3, extra={"rope_freqs.weight": llama3_factors()}),
    "llama-linear": llama(LINEAR, more={"rope.scaling.type": "linear", "rope.scaling.factor": 3.0}),
    "llama-yarn": llama(
        YARN, more={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32}
    ),
    "mixtral": other(
        "MixtralForCausalLM", "llama", {"num_local_experts": 5, "num_experts_per_tok": 2}, permuted=True,
        more={"expert_count": 5, "expert_used_count": 2},
    ),
    "qwen2": other("Qwen2ForCausalLM", "qwen2", {}),
    "qwen3": other("Qwen3ForCausalLM", "qwen3", {"head_dim": 24, "tie_word_embeddings": True}),
    "gemma": other(
        "GemmaForCausalLM", "gemma", {"num_key_value_heads": 1, "head_dim": 32}, plus_one=True
    ),
    "gemma2": other(
        "Gemma2ForCausalLM", "gemma2",
        {**WINDOWED, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "attn_implementation": "eager"},
        plus_one=True, more={"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "attention.sliding_window": 8},
    ),
    "gemma3": other(
        "Gemma3ForCausalLM", "gemma3", {**WINDOWED, "num_hidden_layers": 7}, plus_one=True,
        more={"attention.sliding_window": 8},
    ),
    "qwen3moe": other(
        "Qwen3MoeForCausalLM", "qwen3moe",
        {"head_dim": 16, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "norm_topk_prob": True},
        more={"expert_count": 5, "expert_used_count": 2, "expert_feed_forward_length": 64},
    ),
    "smollm3": other("SmolLM3ForCausalLM", "smollm3", {"num_hidden_layers": 5}, permuted=True),
    "gpt-oss": other("GptOssForCausalLM", "gpt-oss", GPT_OSS, more=GPT_OSS_TOLD),
    "granite": other("GraniteForCausalLM", "granite", GRANITE, permuted=True, more={
        "embedding_scale": 2.0, "residual_scale": 0.5, "attention.scale": 0.1, "logit_scale": 3.0,
    }),
    "olmo2": other("Olmo2ForCausalLM", "olmo2", {}),
    "phi3": other("Phi3ForCausalLM", "phi3", {**checkpoints.rope(partial_rotary_factor=0.75), "sliding_window": 8},
        more={"attention.sliding_window": 8}),
    "phi3-long": other(
        "Phi3ForCausalLM", "phi3", {**checkpoints.rope(**LONG), "original_max_position_embeddings": 64}, more=PHI_LONG,
        extra=PHI_FACTORS,
    ),
}  # fmt: skip


def made(case: Case, path: Path, type: Type = Type.F32, **more: Any) -> Any:
    model = checkpoints.build(case.maker)
    gguf_models.save(
        path, model, case.architecture, type, permuted=case.permuted, plus_one=case.plus_one, more=case.more,
        extra=case.extra, **more,
    )  # fmt: skip
    return model


def test_experts_stay_in_their_blocks(tmp_path: Path) -> None:
    """gpt-oss as it comes, in MXFP4: as it is used, and dequantized."""
    path = tmp_path / "tiny.gguf"
    made(CASES["gpt-oss"], path, Type.MXFP4)
    whole, packed = language_model.load(path, dtype=torch.float32), TextModel.load(path).lm
    ids = torch.randint(5, 260, (1, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, found = whole(ids), packed(ids)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def equal(ours: LanguageModel, theirs: Any, tokens: int = 64) -> None:
    """Logits of a text, and greedy continuation."""
    ids = torch.randint(5, 260, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, atol=1e-3, rtol=0)
        expected = theirs.generate(ids[:, :8], max_new_tokens=tokens, do_sample=False, pad_token_id=0)
        assert torch.equal(ours(expected)[0, 7:-1].argmax(-1), expected[0, 8:])


@pytest.mark.parametrize("name", CASES)
def test_a_file_equals_transformers(tmp_path: Path, name: str) -> None:
    path = tmp_path / "tiny.gguf"
    theirs = made(CASES[name], path)
    equal(language_model.load(path), theirs, tokens=48 if name == "phi3-long" else 64)  # whose border lies at 64


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4"])
def test_quantized_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tiny.gguf"
    theirs = gguf_models.llama_file(path, Type[kind])
    equal(language_model.load(path, dtype=torch.float32), theirs)


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"])
def test_files_in_blocks_of_256(tmp_path: Path, kind: str) -> None:
    """Which gguf-py reads but does not write."""
    path, sizes = tmp_path / "tiny.gguf", {**gguf_models.SIZES, "hidden_size": 256, "intermediate_size": 256}
    theirs = checkpoints.build(checkpoints.llama(**sizes))
    kinds = {
        name: Type[kind] for name in gguf_models.tensors(theirs, "llama", True, False) if "attn_" in name or "ffn_" in name
    }
    kinds = {name: kind for name, kind in kinds.items() if "norm" not in name}

    def blocks(weights: Any) -> Any:
        return {name: gguf_models.random_blocks(kind, weights[name].shape, n) for n, name in enumerate(kinds)}

    gguf_models.save(path, theirs, "llama", Type.Q8_0, permuted=True, types=kinds, blocks=blocks)
    equal(language_model.load(path, dtype=torch.float32), theirs, tokens=16)


def test_a_file_as_it_is_used(tmp_path: Path) -> None:
    """Through the registry's loader: tokenizer, chat template, special tokens, name."""
    path = tmp_path / "tiny.gguf"
    theirs = gguf_models.llama_file(path, Type.Q8_0)
    model = TextModel.load(path)
    assert (model.name, model.max_tokens, model.bos_id, model.eos_ids) == ("tiny.gguf", 128, 0, frozenset({1}))
    ids = model.encode_chat([{"role": "user", "content": "the that"}])
    assert model.tokenizer.decode(ids) == "the that" and ids[0] == model.tokenizer.id("<|user|>")
    assert model.encode("the")[0] == 0
    assert model.lm.transformer.embed.words.weight.dtype == torch.float32
    equal(model.lm, theirs)


def test_rounded_further(tmp_path: Path) -> None:
    """FILE#int8, as for every model."""
    path = tmp_path / "tiny.gguf"
    gguf_models.llama_file(path, Type.F16)
    model = TextModel.load(path, precision="int8")
    assert model.lm(torch.tensor([[1, 2, 3]])).shape == (1, 3, gguf_models.VOCABULARY)


def test_an_architecture_that_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    weights = {"token_embd.weight": torch.zeros(264, 64)}
    gguf_models.write(path, "qwen2vl", {}, weights)
    with pytest.raises(BadWeights, match=r"tiny\.gguf is of general\.architecture 'qwen2vl'; there are llama, .*did you mean"):
        TextModel.load(path)
    gguf_models.write(path, "qwen2", {}, {"v.patch_embd.weight": torch.zeros(264, 64)})
    with pytest.raises(BadWeights, match=r"holds no token_embd\.weight; it is not whole or no language model"):
        TextModel.load(path)
    gguf_models.write(path, "qwen2", {}, weights)
    with pytest.raises(BadWeights, match=r"lacks qwen2\.attention\.head_count in its metadata"):
        TextModel.load(path)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    """What is missing and what is too much is named as the file names it, or as transformers does."""
    path = tmp_path / "tiny.gguf"
    model = checkpoints.build(checkpoints.llama(**gguf_models.SIZES))
    weights, told = gguf_models.tensors(model, "llama", True, False), gguf_models.stated(model.config, "llama")
    gguf_models.write(path, "llama", told, {**weights, "blk.0.attn_sinks.weight": torch.zeros(4)})
    with pytest.raises(BadWeights, match=r"holds blk\.0\.attn_sinks\.weight, which this architecture has not"):
        TextModel.load(path)
    weights.pop("blk.1.ffn_up.weight")
    gguf_models.write(path, "llama", told, weights)
    with pytest.raises(BadWeights, match=r"tiny\.gguf lacks model\.layers\.1\.mlp\.up_proj\.weight"):
        TextModel.load(path)
    gguf_models.write(path, "llama", {**told, "attention.head_count": [4, 2]}, weights)
    with pytest.raises(BadWeights, match=r"has layers with attention\.head_count of 2 to 4; only equal layers are read"):
        TextModel.load(path)


EXPORTED = (
    "llama-tied", "llama3", "llama-yarn", "mixtral", "qwen2", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "smollm3",
    "granite", "olmo2", "phi3", "phi3-long",
)  # fmt: skip


@pytest.mark.parametrize("name", EXPORTED)
def test_a_folder_written_and_read_again_is_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the rounding of blocks changes a model: without it logits are equal."""
    monkeypatch.setattr(gguf_writer, "rounded", lambda name, weight, to: ("F32", weight.contiguous().view(torch.uint8)))
    folder, path = tmp_path / "folder", tmp_path / "tiny.gguf"
    checkpoints.saved(CASES[name].maker, folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    before = gguf_export.load(folder)
    gguf_export.export(before, folder, path, "q8_0")
    after, ids = TextModel.load(path, precision="fp32"), torch.arange(5, 90)[None]
    with torch.inference_mode():
        torch.testing.assert_close(after.lm(ids), before.lm(ids), atol=1e-4, rtol=0)  # factors of frequencies are rounded
    assert after.encode("the <|user|> hat") == before.encode("the <|user|> hat")


def test_what_an_architecture_cannot_say_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    checkpoints.saved(checkpoints.make("MistralForCausalLM", "MistralConfig", GROUPED, sliding_window=8), folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    model = gguf_export.load(folder)
    with pytest.raises(BadRequest, match="GGUF's llama cannot say window, windowed as folder has them; convert it with"):
        gguf_export.export(model, folder, tmp_path / "x.gguf", "q8_0")
    (folder / "config.json").write_text(
        json.dumps({**json.loads((folder / "config.json").read_text()), "model_type": "gpt_oss"})
    )
    with pytest.raises(BadRequest, match=r"folder is a gpt_oss, which is not written as GGUF \(llama, mistral, "):
        gguf_export.export(model, folder, tmp_path / "x.gguf", "q8_0")
