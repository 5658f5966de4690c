"""Mistral's own files: params.json as a config.json, and consolidated.safetensors under the names that transformers gives.

Mistral turns neighbouring numbers of queries and keys together (rotary position embeddings), transformers the first half with
the second: the rows of these two are put in another order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Checkpoint, RenamedCheckpoint
from mmgen.models.checkpoints.safetensors_io import read_json

PARAMS = "params.json"
NAMES = {
    r"tok_embeddings\.weight": "model.embed_tokens.weight",
    r"norm\.weight": "model.norm.weight",
    r"output\.weight": "lm_head.weight",
    r"layers\.(\d+)\.attention_norm\.weight": r"model.layers.\1.input_layernorm.weight",
    r"layers\.(\d+)\.ffn_norm\.weight": r"model.layers.\1.post_attention_layernorm.weight",
    r"layers\.(\d+)\.attention\.w([qkvo])\.weight": r"model.layers.\1.self_attn.\2_proj.weight",
    r"layers\.(\d+)\.feed_forward\.w1\.weight": r"model.layers.\1.mlp.gate_proj.weight",
    r"layers\.(\d+)\.feed_forward\.w2\.weight": r"model.layers.\1.mlp.down_proj.weight",
    r"layers\.(\d+)\.feed_forward\.w3\.weight": r"model.layers.\1.mlp.up_proj.weight",
    r"layers\.(\d+)\.(?:block_sparse_moe|feed_forward)\.gate\.weight": r"model.layers.\1.block_sparse_moe.gate.weight",
    r"layers\.(\d+)\.(?:block_sparse_moe|feed_forward)\.experts\.(\d+)\.(w[123])\.weight":
        r"model.layers.\1.block_sparse_moe.experts.\2.\3.weight",
}  # fmt: skip
"""Mistral's name -> transformers'."""
TURNED = re.compile(r"self_attn\.([qk])_proj\.weight$")
KEYS = {
    "dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads", "head_dim": "head_dim", "hidden_dim": "intermediate_size",
    "norm_eps": "rms_norm_eps", "vocab_size": "vocab_size", "sliding_window": "sliding_window",
    "tied_embeddings": "tie_word_embeddings",
}  # fmt: skip
IGNORED = ("max_batch_size", "use_biases", "causal", "use_cache", "rope_theta", "max_seq_len", "max_position_embeddings", "moe")
LONGEST = 32_768
"""Tokens of a text where params.json does not say: what Mistral 7B was trained on."""


def config(folder: Path) -> dict[str, Any] | None:
    """What config.json would say, of a folder with params.json alone; None: it has a config.json, or neither.

    Raises BadWeights for what transformers' Mistral and Mixtral have not, such as a vision encoder.
    """
    path = folder / PARAMS
    if (folder / "config.json").is_file() or not path.is_file():
        return None
    told = read_json(path)
    if unknown := sorted(key for key, value in told.items() if key not in KEYS and key not in IGNORED and value):
        raise BadWeights(
            f"{path} asks for {unknown[0]}, which is not read; take the files that transformers reads (config.json)"
        )
    longest = told.get("max_position_embeddings") or told.get("max_seq_len") or told.get("sliding_window") or LONGEST
    more = {"model_type": "mistral", "rope_theta": told.get("rope_theta", 10_000.0), "max_position_embeddings": longest}
    if experts := told.get("moe"):
        counts = {"num_local_experts": experts["num_experts"], "num_experts_per_tok": experts["num_experts_per_tok"]}
        more |= {"model_type": "mixtral", **counts}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    return {"hidden_act": "silu", **{ours: told[key] for key, ours in KEYS.items() if key in told}, **more, **ends}


class MistralTensors(RenamedCheckpoint):
    """Names, and rows of queries and keys, as transformers has them."""

    def __init__(self, whole: Checkpoint, values: Mapping[str, Any]) -> None:
        """`values`: config.json, or what stands for it. Raises BadWeights for a tensor of an unknown name."""
        super().__init__(whole, {_renamed(name, whole.folder): name for name in whole})
        self.heads = {"q": int(values["num_attention_heads"])}
        self.heads["k"] = int(values.get("num_key_value_heads") or self.heads["q"])

    def __getitem__(self, name: str) -> Tensor:
        tensor = super().__getitem__(name)
        if turned := TURNED.search(name):
            pairs: Tensor = tensor.unflatten(0, (self.heads[turned[1]], -1, 2))
            return pairs.transpose(1, 2).flatten(0, 2)
        return tensor


def is_native(names: Checkpoint) -> bool:
    """Whether tensors are called as Mistral calls them."""
    return "tok_embeddings.weight" in names


def _renamed(name: str, folder: Path) -> str:
    for theirs, ours in NAMES.items():
        if found := re.fullmatch(theirs, name):
            return found.expand(ours)
    raise BadWeights(f"{folder} holds {name}, which is no tensor of a Mistral; take the files that transformers reads")
