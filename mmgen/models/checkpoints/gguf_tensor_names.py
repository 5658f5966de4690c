"""Names of tensors in GGUF files, and those of the same tensors in Hugging Face's checkpoints. Knows names; reads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmgen.models.checkpoints.convert import Names, TensorName

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
NORMS_BEHIND: Leaves = {
    **{leaf: theirs for leaf, theirs in NORMS_AROUND.items() if leaf not in ("attn_norm", "ffn_norm")},
}
SINKS: Leaves = {
    **ATTENTION,
    "attn_sinks": "self_attn.sinks",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_gate_inp": "mlp.router",
    "ffn_gate_exps": "mlp.experts.{}.gate_proj",
    "ffn_up_exps": "mlp.experts.{}.up_proj",
    "ffn_down_exps": "mlp.experts.{}.down_proj",
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
BARE = ("self_attn.sinks",)
"""Hugging Face's names that have no `.weight` behind them."""
LAYER = re.compile(r"blk\.(\d+)\.(.+)\.(weight|bias)")
EXPERT = re.compile(r"\.experts\.\d+\.")
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


def apart(table: Names) -> Names:
    """A family's table with each expert's tensors under names of their own, where Hugging Face has all of them in one."""
    return {
        ours: _apart(theirs) if theirs.index and ".mlp.experts." in theirs.names[0] else theirs
        for ours, theirs in table.items()
    }


def _apart(theirs: TensorName) -> TensorName:
    assert theirs.index is not None
    stem, _, leaf = theirs.names[0].rpartition(".")
    kind = "bias" if leaf.endswith("_bias") else "weight"
    leaves = ("gate_proj", "up_proj") if leaf.startswith("gate_up_proj") else ("down_proj",)
    return TensorName(tuple(f"{stem}.{theirs.index[0]}.{one}.{kind}" for one in leaves))


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
        yield f"{start}{leaves[leaf]}" + ("" if leaves[leaf] in BARE else f".{kind}"), None
    elif (one := NUMBERED.fullmatch(leaf)) and f"{one[1]}.{{}}" in leaves:
        yield f"{start}{leaves[one[1] + '.{}'].format(one[2])}.{kind}", None
    else:
        yield name, None
