"""Names of tensors that most decoders share, and the few that each has of its own."""

from __future__ import annotations

from collections.abc import Mapping

from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.checkpoints.tensor_names import Entries, attention_names, head_names, spread
from mmgen.models.transformer_config import TransformerConfig

LAYER = "model.layers.{}."
NORMS: Mapping[str, Entries] = {
    "pre": {
        "blocks.{}.attention_norm": f"{LAYER}input_layernorm",
        "blocks.{}.norm": f"{LAYER}post_attention_layernorm",
    },
    "after": {
        "blocks.{}.attention_norm": f"{LAYER}post_attention_layernorm",
        "blocks.{}.norm": f"{LAYER}post_feedforward_layernorm",
    },
    "both": {
        "blocks.{}.attention_norm": f"{LAYER}input_layernorm",
        "blocks.{}.attention_after": f"{LAYER}post_attention_layernorm",
        "blocks.{}.norm": f"{LAYER}pre_feedforward_layernorm",
        "blocks.{}.after": f"{LAYER}post_feedforward_layernorm",
    },
}


def decoder(config: TransformerConfig, own: Entries | None = None, out: str = "o_proj") -> Names:
    """Llama's names; `own`: those that a family calls otherwise, or has besides."""
    start = f"{LAYER}self_attn."
    table: Entries = {
        "embed.words": "model.embed_tokens",
        "norm": "model.norm",
        **NORMS[config.norm_at],
        **attention_names(config, start, ("q_proj", "k_proj", "v_proj", out)),
        "blocks.{}.up": (f"{LAYER}mlp.gate_proj", f"{LAYER}mlp.up_proj") if config.gated else f"{LAYER}mlp.up_proj",
        "blocks.{}.down": f"{LAYER}mlp.down_proj",
    }
    if config.qk_norm:
        table["blocks.{}.attention.query_norm"] = f"{start}q_norm"
        table["blocks.{}.attention.key_norm"] = f"{start}k_norm"
    table |= own or {}
    if config.shared_norm:
        del table["blocks.{}.norm"]
    biased = {"head.bias": TensorName(("lm_head.bias",))} if config.head_bias else {}
    return spread(config, table) | head_names(config) | biased


def experts(expert: str, gate: str, parts: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")) -> Entries:
    """A mixture whose experts lie apart: `expert` with a place for the number, `gate` the router."""
    return {
        "blocks.{}.experts.router": gate,
        "blocks.{}.experts.each.{}.up": (f"{expert}{parts[0]}", f"{expert}{parts[1]}"),
        "blocks.{}.experts.each.{}.down": f"{expert}{parts[2]}",
    }
