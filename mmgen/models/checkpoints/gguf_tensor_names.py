"""Names of tensors in GGUF files, and those of the same tensors in Hugging Face's checkpoints. Knows names; reads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Leaves = Mapping[str, str]
"""A tensor's name within its layer without `.weight` or `.bias`, as GGUF has it -> as Hugging Face has it."""

WHOLE: Leaves = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
ATTENTION: Leaves = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
}
DENSE: Leaves = {
    **ATTENTION,
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
MIXTRAL: Leaves = {
    **ATTENTION,
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate_inp": "block_sparse_moe.gate",
    "ffn_gate_exps": "block_sparse_moe.experts.{}.w1",
    "ffn_up_exps": "block_sparse_moe.experts.{}.w3",
    "ffn_down_exps": "block_sparse_moe.experts.{}.w2",
    "ffn_gate.{}": "block_sparse_moe.experts.{}.w1",  # as files before April 2024 have them
    "ffn_up.{}": "block_sparse_moe.experts.{}.w3",
    "ffn_down.{}": "block_sparse_moe.experts.{}.w2",
}
MIXTURE: Leaves = {
    **DENSE,
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.{}.gate_proj",
    "ffn_up_exps": "mlp.experts.{}.up_proj",
    "ffn_down_exps": "mlp.experts.{}.down_proj",
}
NORMS_AROUND: Leaves = {
    **DENSE,
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
FUSED: Leaves = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.gate_up_proj",
    "ffn_down": "mlp.down_proj",
}
CONFIGURATION = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
"""Tensors that are no weights; see gguf_config.py."""
LAYER = re.compile(r"blk\.(\d+)\.(.+)\.(weight|bias)")
NUMBERED = re.compile(r"(ffn_(?:gate|up|down))\.(\d+)")


@dataclass(frozen=True)
class TensorSource:
    """Where a tensor of a checkpoint comes from, and what llama.cpp's converter did to it."""

    name: str  # in the file
    expert: int | None = None  # of several that lie in one tensor
    heads: int = 0  # > 0: the rows of each of so many heads stand as (0, half, 1, half + 1, ...)
    plus_one: bool = False  # a norm's weight with 1 added


def sources(
    tensors: Mapping[str, tuple[int, ...]], leaves: Leaves, heads: tuple[int, int] = (0, 0), plus_one: bool = False
) -> dict[str, TensorSource]:
    """Hugging Face's name -> source. What `leaves` does not know stays under the file's own name.

    Args:
        tensors: shapes, by the file's names.
        heads: of queries and of keys, where llama.cpp's converter reordered their rows; see `TensorSource`.
        plus_one: norms stand with 1 added.
    """
    out: dict[str, TensorSource] = {}
    for name, shape in tensors.items():
        if name in CONFIGURATION:
            continue
        count = {"attn_q": heads[0], "attn_k": heads[1]}.get(name.rpartition(".")[0].rpartition(".")[2], 0)
        added = plus_one and name.endswith("norm.weight")
        for theirs, expert in _theirs(name, shape, leaves):
            out[theirs] = TensorSource(name, expert, count, added)
    return out


def _theirs(name: str, shape: tuple[int, ...], leaves: Leaves) -> Iterator[tuple[str, int | None]]:
    """Hugging Face's names of one tensor: several where the experts of a layer lie in it."""
    stem, _, kind = name.rpartition(".")
    if stem in WHOLE:
        yield f"{WHOLE[stem]}.{kind}", None
        return
    match = LAYER.fullmatch(name)
    if match is None:
        yield name, None
        return
    layer, leaf, kind = match.groups()
    start = f"model.layers.{layer}."
    if leaf in leaves and "{}" in leaves[leaf]:
        yield from ((f"{start}{leaves[leaf].format(expert)}.{kind}", expert) for expert in range(shape[0]))
    elif leaf in leaves:
        yield f"{start}{leaves[leaf]}.{kind}", None
    elif (one := NUMBERED.fullmatch(leaf)) and f"{one[1]}.{{}}" in leaves:
        yield f"{start}{leaves[one[1] + '.{}'].format(one[2])}.{kind}", None
    else:
        yield name, None
