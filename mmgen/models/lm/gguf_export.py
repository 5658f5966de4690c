"""A language model of a folder as a GGUF file that llama.cpp opens: metadata, tokenizer, tensors under GGUF's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgen.errors import BadRequest
from mmgen.models.checkpoints import gguf_checkpoint, gguf_config, gguf_tensor_names, gguf_writer
from mmgen.models.checkpoints.convert import drawn
from mmgen.models.checkpoints.gguf_pre_tokenizers import GPT2, SPLITS
from mmgen.models.checkpoints.gguf_tokenizer import CONTROL, USER_DEFINED
from mmgen.models.layers.positions import Rotary
from mmgen.models.lm import families
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.models.transformer_config import TransformerConfig

WRITTEN = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "mmgen": "llama"}
"""Our families -> general.architecture."""
NORMAL, UNUSED = 1, 5
NOT_WRITTEN = "convert it with llama.cpp's convert_hf_to_gguf.py, and quantize the file"


def export(model: TextModel, folder: Path, path: Path, to: str) -> None:
    """`model`: in float32, of that folder. Raises BadRequest for a family or tokenizer that is not written."""
    kind = str(gguf_checkpoint.config_values(folder).get("model_type"))
    config = model.lm.config
    if kind not in WRITTEN or _differs(config, "qwen3" if kind == "qwen3" else "qwen2" if kind == "qwen2" else "llama"):
        raise BadRequest(f"{model.name} is a {kind}, which is not written as GGUF ({', '.join(WRITTEN)} are); {NOT_WRITTEN}")
    name = WRITTEN[kind]
    tensors = _tensors(model.lm, name)
    shapes = {one: tuple(tensor.shape) for one, tensor in tensors.items()}
    metadata = gguf_writer.entries({**_metadata(model, name), **_tokenizer(model)})
    gguf_writer.write(path, metadata, shapes, lambda one: tensors[one].float(), to)


def _differs(config: TransformerConfig, family: str) -> bool:
    """Whether a shape is not one that the architecture's metadata can say."""
    kind = families.FAMILIES[family]
    scaling = config.rope_scaling
    return (
        bool(kind.shape(kind.values(config)).differs(config))
        or config.window is not None
        or bool(scaling and scaling.kind not in ("linear", "llama3", "yarn"))
    )


def _metadata(model: TextModel, name: str) -> dict[str, Any]:
    config = model.lm.config
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
        values |= {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
        values["rope.scaling.original_context_length"] = scaling.original or config.max_tokens
    return {gguf_writer.ARCHITECTURE: name, "general.name": model.name} | {f"{name}.{key}": one for key, one in values.items()}


def _tensors(lm: LanguageModel, name: str) -> dict[str, Tensor]:
    """Under GGUF's names, as llama.cpp's converter leaves them."""
    config, kind = lm.config, gguf_config.ARCHITECTURES[name]
    theirs = drawn(lm, families.FAMILIES[kind.model_type].table(config))
    back = {there: here for here, there in kind.leaves.items()} | {
        there: here for here, there in gguf_tensor_names.WHOLE.items()
    }
    out = {}
    for full, tensor in theirs.items():
        stem, _, part = full.rpartition(".")
        layer = stem.removeprefix("model.layers.").partition(".") if stem.startswith("model.layers.") else None
        here = back[stem] if layer is None else f"blk.{layer[0]}.{back[layer[2]]}"
        heads = {"attn_q": config.heads, "attn_k": config.kv_heads}.get(here.rpartition(".")[2], 0)
        if kind.reordered and heads:
            tensor = tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
        out[f"{here}.{part}"] = tensor
    if config.rope_scaling is not None and config.rope_scaling.kind == "llama3":
        size = config.rotary_dim or config.head_size
        plain, scaled = (
            Rotary(size, config.rope_theta, config.max_tokens, one).frequencies for one in (None, config.rope_scaling)
        )
        out["rope_freqs.weight"] = plain / scaled
    return out


def _tokenizer(model: TextModel) -> dict[str, Any]:
    """Raises BadRequest for a tokenizer that is no byte-level BPE, or cuts texts in a way without a name."""
    fast = model.tokenizer.fast
    told = json.loads(fast.to_str())
    size = model.lm.config.vocab_size
    tokens = [fast.id_to_token(number) or f"[PAD{number}]" for number in range(size)]
    added = {one["id"]: CONTROL if one["special"] else USER_DEFINED for one in told["added_tokens"]}
    kinds = [added.get(n, NORMAL if fast.id_to_token(n) else UNUSED) for n in range(size)]
    begins = fast.encode("").ids[:1] == [model.bos_id]
    values = {
        "tokens": tokens,
        "token_type": kinds,
        "bos_token_id": model.bos_id,
        "eos_token_id": min(model.eos_ids, default=None),
        "add_bos_token": begins,
        **_pieces(told, tokens, model.name),
    }
    template = {"tokenizer.chat_template": model.template.text or None}
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()} | template


def _pieces(told: dict[str, Any], tokens: list[str], name: str) -> dict[str, Any]:
    """What belongs to the kind of tokenizer."""
    if told["model"]["type"] != "BPE" or (told.get("decoder") or {}).get("type") != "ByteLevel":
        raise BadRequest(f"the tokenizer of {name} is not byte-level BPE, the kind that is written as GGUF; {NOT_WRITTEN}")
    merges = [one if isinstance(one, str) else " ".join(one) for one in told["model"]["merges"]]
    cuts = tuple(_cuts(told["pre_tokenizer"]))
    found = next((name for name, splits in SPLITS.items() if splits == cuts), None)
    if found is None:
        raise BadRequest(f"the tokenizer of {name} cuts texts in a way that GGUF has no name for; {NOT_WRITTEN}")
    return {"model": "gpt2", "pre": found, "merges": merges}


def _cuts(told: dict[str, Any]) -> list[str]:
    """The regular expressions of a pre-tokenizer, as gguf_pre_tokenizers.py has them."""
    steps = told["pretokenizers"] if told["type"] == "Sequence" else [told]
    out: list[str] = []
    for step in steps:
        if step["type"] == "Digits":
            out.append(r"\p{N}" if step["individual_digits"] else "digits")
        elif step["type"] == "Split":
            out.append(step["pattern"].get("Regex", "a string"))
        elif step["type"] == "ByteLevel":
            out += [GPT2] if step.get("use_regex", True) else []
        else:
            out.append(step["type"])
    return out


def load(folder: Path) -> TextModel:
    """A folder's model in float32."""
    return TextModel.load(folder, "cpu", precision="fp32")
