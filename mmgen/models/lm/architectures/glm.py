"""GLM 4 in both its kinds: interleaved rotary pairs over half a head, one product for gate and up."""

from __future__ import annotations

from typing import Any

from mmgen.models.checkpoints.convert import Names
from mmgen.models.checkpoints.family import UNTIED, Family, Values
from mmgen.models.checkpoints.tensor_names import Entries
from mmgen.models.lm.architectures.tables import LAYER, decoder
from mmgen.models.lm.family_llama import FIXED, KEYS, llama
from mmgen.models.transformer_config import TransformerConfig

OWN: dict[str, Any] = {**FIXED, "rope_interleaved": True}
DEFAULTS = {**UNTIED, "attention_bias": True, "partial_rotary_factor": 0.5, "rms_norm_eps": 1.5625e-7, "head_dim": 128}


def _glm(values: Values) -> dict[str, Any]:
    return {**llama(values), "out_bias": False}


def _names(config: TransformerConfig) -> Names:
    own: Entries = {"blocks.{}.up": f"{LAYER}mlp.gate_up_proj"}
    if config.norm_at == "both":
        own |= {
            "blocks.{}.attention_after": f"{LAYER}post_self_attn_layernorm",
            "blocks.{}.norm": f"{LAYER}post_attention_layernorm",
            "blocks.{}.after": f"{LAYER}post_mlp_layernorm",
        }
    return decoder(config, own)


FAMILIES = {
    name: Family(
        f"{kind}ForCausalLM", KEYS, {**OWN, "norm_at": norms}, _names, _glm,
        prefix="model.", ignored=r"rotary_emb\.inv_freq$", defaults=DEFAULTS,
    )
    for name, kind, norms in (("glm", "Glm", "pre"), ("glm4", "Glm4", "both"))
}  # fmt: skip
