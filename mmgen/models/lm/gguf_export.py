"""A language model of a folder as a GGUF file that llama.cpp opens: metadata, tokenizer, tensors under GGUF's names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import gguf_checkpoint, gguf_config, gguf_tensor_names, gguf_tokenizer_export, gguf_writer
from mmgen.models.checkpoints.convert import drawn
from mmgen.models.checkpoints.gguf_reader import GGUFFile
from mmgen.models.checkpoints.gguf_tokenizer_export import NOT_WRITTEN
from mmgen.models.layers.positions import Rotary
from mmgen.models.lm import families
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.models.transformer_config import RopeScaling, TransformerConfig

T = TypeVar("T", TransformerConfig, RopeScaling)

WRITTEN = {
    "llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe",
    "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3", "gemma3_text": "gemma3", "phi3": "phi3", "smollm3": "smollm3",
    "granite": "granite", "olmo2": "olmo2", "mmgen": "llama",
}  # fmt: skip
"""Our families -> general.architecture."""


def export(model: TextModel, folder: Path, path: Path, to: str) -> None:
    """`model`: in float32, of that folder.

    Raises BadRequest for a family, a shape or a tokenizer that is not written; what stands at `path` then is to be removed.
    """
    kind = str(gguf_checkpoint.config_values(folder).get("model_type"))
    if kind not in WRITTEN:
        raise BadRequest(f"{model.name} is a {kind}, which is not written as GGUF ({', '.join(WRITTEN)} are); {NOT_WRITTEN}")
    config, name = model.lm.config, WRITTEN[kind]
    words = gguf_tokenizer_export.metadata(
        model.tokenizer.fast, config.vocab_size, model.bos_id, model.eos_ids, model.template.text, model.name
    )
    architecture = gguf_config.MIXTRAL if name == "llama" and config.experts else gguf_config.ARCHITECTURES[name]
    tensors = _tensors(model.lm, architecture)
    shapes = {one: tuple(tensor.shape) for one, tensor in tensors.items()}
    metadata = gguf_writer.entries({**_metadata(config, name, model.name), **words})
    gguf_writer.write(path, metadata, shapes, lambda one: tensors[one].float(), to)
    values = gguf_config.config(GGUFFile(path))
    if wrong := _comparable(families.find(values, path).shape(values)).differs(_comparable(config)):
        raise BadRequest(f"GGUF's {name} cannot say {', '.join(wrong)} as {model.name} has them; {NOT_WRITTEN}")


def _comparable(config: TransformerConfig) -> TransformerConfig:
    """Numbers in 32 bits, as files have them; without rotary factors, which Llama 3's scaling becomes."""
    scaling = config.rope_scaling
    if scaling is not None:
        scaling = None if scaling.kind == "llama3" or scaling.short_factors else _single(scaling)
    return replace(_single(config), rope_scaling=scaling)


def _single(one: T) -> T:
    floats: dict[str, Any] = {key: float(np.float32(value)) for key, value in vars(one).items() if isinstance(value, float)}
    return replace(one, **floats)


def _metadata(config: TransformerConfig, name: str, title: str) -> dict[str, Any]:
    scaling = config.rope_scaling
    values: dict[str, Any] = {
        "context_length": config.max_tokens,
        "embedding_length": config.hidden_size,
        "block_count": config.layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_size,
        "attention.value_length": config.head_size,
        "attention.layer_norm_rms_epsilon": float(config.norm_eps),
        "rope.freq_base": float(config.rope_theta),
        "rope.dimension_count": config.rotary_dim or config.head_size,
        "vocab_size": config.vocab_size,
    }
    if scaling is not None and scaling.kind != "llama3":  # which becomes a tensor
        values["rope.scaling.original_context_length"] = scaling.original or config.max_tokens
        if scaling.kind == "longrope":
            values["rope.scaling.attn_factor"] = scaling.attention
        else:
            values |= {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
        if scaling.kind == "yarn":
            values |= {"rope.scaling.yarn_beta_fast": scaling.fast, "rope.scaling.yarn_beta_slow": scaling.slow}
    if config.experts:
        values |= {"expert_count": config.experts, "expert_used_count": config.experts_per_token}
    values |= OWN.get(name, lambda config: {})(config)
    return {gguf_writer.ARCHITECTURE: name, "general.name": title} | {f"{name}.{key}": one for key, one in values.items()}


def _gemma(config: TransformerConfig) -> dict[str, Any]:
    return {
        "attention.sliding_window": config.window,
        "attn_logit_softcapping": config.softcap,
        "final_logit_softcapping": config.head_softcap,
        "rope.freq_base_swa": config.rope_theta_windowed,
    }


def _granite(config: TransformerConfig) -> dict[str, Any]:
    return {
        "embedding_scale": float(config.embedding_scale),
        "residual_scale": float(config.residual_multiplier),
        "attention.scale": float(config.score_scale),
        "logit_scale": float(config.logits_scaling),
    }


OWN: dict[str, Callable[[TransformerConfig], dict[str, Any]]] = {
    "gemma2": _gemma,
    "gemma3": _gemma,
    "granite": _granite,
    "phi3": lambda config: {"attention.sliding_window": config.window},
    "qwen3moe": lambda config: {"expert_feed_forward_length": config.expert_size},
}
"""What an architecture's metadata say besides: the inverse of gguf_config.py's."""


def _tensors(lm: LanguageModel, kind: gguf_config.GGUFArchitecture) -> dict[str, Tensor]:
    """Under GGUF's names, as llama.cpp's converter leaves them."""
    config = lm.config
    theirs = drawn(lm, families.FAMILIES[kind.model_type].table(config))
    back = {there: here for here, there in {**kind.leaves, **gguf_tensor_names.WHOLE}.items() if "{}" not in here}
    out: dict[str, Tensor] = {}
    experts: dict[str, list[Tensor]] = {}
    for full, tensor in theirs.items():
        stem, _, part = full.rpartition(".")
        if not stem.startswith("model.layers."):
            out[f"{back[stem]}.{part}"] = tensor
            continue
        number, _, leaf = stem.removeprefix("model.layers.").partition(".")
        mixed = gguf_tensor_names.EXPERT.sub(".experts.{}.", leaf)
        here = f"blk.{number}.{back[mixed]}"
        if mixed != leaf:  # all experts of a layer are one tensor; they come in their order
            experts.setdefault(f"{here}.{part}", []).append(tensor)
            continue
        heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(back[leaf], 0)
        if kind.reordered and heads:
            tensor = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
        out[f"{here}.{part}"] = tensor
    out |= {name: torch.stack(parts) for name, parts in experts.items()}
    if kind.plus_one:
        out |= {name: tensor + 1 for name, tensor in out.items() if name.endswith("norm.weight")}
    return out | _rope_factors(config)


def _rope_factors(config: TransformerConfig) -> dict[str, Tensor]:
    """What rotary frequencies are divided by, where that is a tensor."""
    scaling = config.rope_scaling
    if scaling is not None and scaling.kind == "llama3":
        size = config.rotary_dim or config.head_size
        plain, scaled = (Rotary(size, config.rope_theta, config.max_tokens, one).frequencies for one in (None, scaling))
        return {"rope_freqs.weight": plain / scaled}
    if scaling is not None and scaling.kind == "longrope":
        both = {"short": scaling.short_factors, "long": scaling.long_factors}
        return {f"rope_factors_{name}.weight": torch.tensor(factors) for name, factors in both.items()}
    return {}


def load(folder: Path) -> TextModel:
    """A folder's model in float32."""
    return TextModel.load(folder, "cpu", precision="fp32")
