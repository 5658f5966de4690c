"""What a GGUF file's metadata say of a model, in the words of config.json: shape, rotary positions, special tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmgen.errors import BadWeights, nearest
from mmgen.models.checkpoints import gguf_tensor_names as names
from mmgen.models.checkpoints import gguf_tokenizer
from mmgen.models.checkpoints.gguf_reader import GGUFFile

Values = dict[str, Any]
"""A config.json."""


@dataclass(frozen=True)
class GGUFArchitecture:
    """What general.architecture means for us."""

    model_type: str  # of transformers
    leaves: names.Leaves = field(default_factory=lambda: names.DENSE)
    more: Callable[[GGUFFile], Values] = lambda file: {}
    reordered: bool = False  # rows of queries and keys, see TensorSource.heads
    plus_one: bool = False  # norms


def _attention_bias(file: GGUFFile) -> Values:
    return {"attention_bias": "blk.0.attn_output.bias" in file.tensors, "mlp_bias": "blk.0.ffn_down.bias" in file.tensors}


def _experts(file: GGUFFile) -> Values:
    return {"num_local_experts": file.need("expert_count"), "num_experts_per_tok": file.need("expert_used_count")}


def _qwen3moe(file: GGUFFile) -> Values:
    return {
        "num_experts": file.need("expert_count"),
        "num_experts_per_tok": file.need("expert_used_count"),
        "moe_intermediate_size": file.need("expert_feed_forward_length"),
        "norm_topk_prob": True,  # as llama.cpp runs them all
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _gpt_oss(file: GGUFFile) -> Values:
    rope = _rope(file)
    return {
        **_experts(file),
        "intermediate_size": file.get("expert_feed_forward_length") or file.need("feed_forward_length"),
        "sliding_window": file.need("attention.sliding_window"),
        "attention_bias": True,
        "rope_parameters": rope | {"truncate": False} if rope["rope_type"] == "yarn" else rope,
    }


def _granite(file: GGUFFile) -> Values:
    return {
        "embedding_multiplier": file.get("embedding_scale", 1.0),
        "residual_multiplier": file.get("residual_scale", 1.0),
        "attention_multiplier": file.get("attention.scale", _head_size(file) ** -0.5),
        "logits_scaling": file.get("logit_scale", 1.0),
    }


def _gemma(file: GGUFFile) -> Values:
    return {"hidden_activation": "gelu_pytorch_tanh"}


def _query_scale(file: GGUFFile, largest: int) -> int:
    """Scores are divided by its root: the head's size, but for the 27B model of `largest` layers, as llama.cpp has it."""
    whole = file.need("block_count") == largest
    return int(file.need("embedding_length") // _heads(file)[0] if whole else _head_size(file))


def _gemma2(file: GGUFFile) -> Values:
    return {
        **_gemma(file),
        "query_pre_attn_scalar": _query_scale(file, 46),
        "attn_logit_softcapping": file.get("attn_logit_softcapping"),
        "final_logit_softcapping": file.get("final_logit_softcapping"),
        **_windows(file, 2),
    }


def _gemma3(file: GGUFFile) -> Values:
    return {
        **_gemma(file),
        "query_pre_attn_scalar": _query_scale(file, 62),
        "rope_local_base_freq": file.get("rope.freq_base_swa", 10_000.0),
        "final_logit_softcapping": file.get("final_logit_softcapping"),
        **_windows(file, 6),
    }


def _windows(file: GGUFFile, every: int) -> Values:
    """Layers with a sliding window; every so manieth has none where the file does not say which."""
    told = file.get("attention.sliding_window_pattern")
    values: Values = {"sliding_window": file.get("attention.sliding_window")}
    if isinstance(told, list):
        count = file.need("block_count")
        return values | {"layer_types": [f"{'sliding' if one else 'full'}_attention" for one in told[:count]]}
    return values | {"sliding_window_pattern": told or every}


def _phi3(file: GGUFFile) -> Values:
    return {"sliding_window": file.get("attention.sliding_window") or None}


MIXTRAL = GGUFArchitecture("mixtral", names.MIXTRAL, _experts, reordered=True)
ARCHITECTURES: dict[str, GGUFArchitecture] = {
    "llama": GGUFArchitecture("llama", more=_attention_bias, reordered=True),  # Mistral too
    "qwen2": GGUFArchitecture("qwen2"),
    "qwen3": GGUFArchitecture("qwen3"),
    "qwen3moe": GGUFArchitecture("qwen3_moe", names.MIXTURE, _qwen3moe),
    "gemma": GGUFArchitecture("gemma", more=_gemma, plus_one=True),
    "gemma2": GGUFArchitecture("gemma2", names.NORMS_AROUND, _gemma2, plus_one=True),
    "gemma3": GGUFArchitecture("gemma3_text", names.NORMS_AROUND, _gemma3, plus_one=True),
    "phi3": GGUFArchitecture("phi3", names.FUSED, _phi3),
    "smollm3": GGUFArchitecture("smollm3", more=lambda file: {"no_rope_layer_interval": 4}, reordered=True),
    "gpt-oss": GGUFArchitecture("gpt_oss", names.SINKS, _gpt_oss),
    "granite": GGUFArchitecture("granite", more=_granite, reordered=True),
    "olmo2": GGUFArchitecture("olmo2", names.NORMS_BEHIND),
}


def architecture(file: GGUFFile) -> GGUFArchitecture:
    """Raises BadWeights for one that we do not have."""
    name = file.architecture
    if name not in ARCHITECTURES:
        known = f"there are {', '.join(ARCHITECTURES)}{nearest(name, list(ARCHITECTURES))}"
        told = f"general.architecture {name!r}" if name else "no general.architecture"
        raise BadWeights(f"{file.path} is of {told}; {known}")
    if name == "llama" and file.get("expert_count"):
        return MIXTRAL
    return ARCHITECTURES[name]


def config(file: GGUFFile) -> Values:
    """The config.json that transformers would have written. Raises BadWeights where metadata are missing or unknown."""
    if "token_embd.weight" not in file.tensors:
        raise BadWeights(f"{file.path} holds no token_embd.weight; it is not whole or no language model")
    kind = architecture(file)
    heads, groups = _heads(file)
    return {
        "model_type": kind.model_type,
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": file.need("embedding_length"),
        "num_hidden_layers": file.need("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": _head_size(file),
        "intermediate_size": _alike(file, "feed_forward_length"),
        "max_position_embeddings": file.need("context_length"),
        "rms_norm_eps": file.need("attention.layer_norm_rms_epsilon"),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "rope_parameters": _rope(file),
        "bos_token_id": file.metadata.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": gguf_tokenizer.end_ids(file),
        **kind.more(file),
    }


def sources(file: GGUFFile) -> Mapping[str, names.TensorSource]:
    """Hugging Face's name of every tensor -> where it is."""
    kind = architecture(file)
    shapes = {name: tensor.shape for name, tensor in file.tensors.items()}
    return names.sources(shapes, kind.leaves, _heads(file) if kind.reordered else (0, 0), kind.plus_one)


def _alike(file: GGUFFile, key: str) -> Any:
    """A number that some files write for each layer. Raises BadWeights where layers differ."""
    told = file.need(key)
    if not isinstance(told, list):
        return told
    if len(set(told)) != 1:
        raise BadWeights(f"{file.path} has layers with {key} of {min(told)} to {max(told)}; only equal layers are read")
    return told[0]


def _heads(file: GGUFFile) -> tuple[int, int]:
    """Heads of queries, and of keys and values."""
    heads = _alike(file, "attention.head_count")
    return heads, heads if file.get("attention.head_count_kv") is None else _alike(file, "attention.head_count_kv")


def _head_size(file: GGUFFile) -> int:
    size = file.get("attention.key_length") or file.need("embedding_length") // _heads(file)[0]
    if (values := file.get("attention.value_length", size)) != size:
        raise BadWeights(f"{file.path} has keys of {size} and values of {values} numbers a head; only equal ones are read")
    return int(size)


def _rope(file: GGUFFile) -> Values:
    """rope_parameters, in the words of transformers 5."""
    size, length = _head_size(file), file.need("context_length")
    values: Values = {"rope_type": "default", "rope_theta": file.get("rope.freq_base", 10_000.0)}
    if (turned := file.get("rope.dimension_count", size)) != size:
        values["partial_rotary_factor"] = turned / size
    original = file.get("rope.scaling.original_context_length", length)
    kind, factor = file.get("rope.scaling.type"), file.get("rope.scaling.factor") or file.get("rope.scale_linear")
    if "rope_freqs.weight" in file.tensors:  # what Llama 3's scaling comes to, one a frequency
        factors = file.tensors["rope_freqs.weight"].values().tolist()
        return values | _long(factors, factors, length, 1.0)
    if "rope_factors_long.weight" in file.tensors:
        long, short = (file.tensors[f"rope_factors_{one}.weight"].values().tolist() for one in ("long", "short"))
        return values | _long(short, long, original, file.get("rope.scaling.attn_factor"))
    if kind in (None, "none") or not factor or factor == 1:
        return values
    values |= {"rope_type": kind, "factor": factor, "original_max_position_embeddings": original}
    betas = {"beta_fast": file.get("rope.scaling.yarn_beta_fast"), "beta_slow": file.get("rope.scaling.yarn_beta_slow")}
    return values | {key: value for key, value in betas.items() if value is not None}


def _long(short: list[float], long: list[float], original: int, attention: float | None) -> Values:
    return {
        "rope_type": "longrope",
        "short_factor": short,
        "long_factor": long,
        "original_max_position_embeddings": original,
        "attention_factor": attention,
    }
