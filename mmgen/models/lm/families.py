"""All families of checkpoints by the `model_type` of their config.json. Knows no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmgen.errors import BadWeights, nearest
from mmgen.models.checkpoints import gguf_checkpoint
from mmgen.models.checkpoints.family import Family
from mmgen.models.lm import family_encoders, family_gpt, family_llama
from mmgen.models.lm.architectures import glm, layer_norm_kin, llama_kin, mixtures, olmo, qwen_delta, text_parts
from mmgen.models.transformer_config import TransformerConfig

FAMILIES: dict[str, Family] = {
    name: family
    for module in (
        family_llama, family_gpt, family_encoders, llama_kin, olmo, mixtures, layer_norm_kin, glm, qwen_delta, text_parts,
    )
    for name, family in module.FAMILIES.items()
}  # fmt: skip


def find(values: Mapping[str, Any], where: Path) -> Family:
    """A config.json's family. Raises BadWeights for an architecture that we do not have."""
    name = str(values.get("model_type"))
    if name not in FAMILIES:
        hint = nearest(name, list(FAMILIES))
        raise BadWeights(f"{where} is of the architecture {name}; there are {', '.join(FAMILIES)}{hint}")
    return FAMILIES[name]


def shape(folder: Path) -> TransformerConfig:
    """The shape of a checkpoint. Raises BadWeights where config.json is missing, damaged or of no known family."""
    values = gguf_checkpoint.config_values(folder)
    family = find(values, folder)
    try:
        return family.shape(values)
    except KeyError as missing:
        raise BadWeights(f"{folder / 'config.json'} lacks {missing}; copy or download it again") from None
