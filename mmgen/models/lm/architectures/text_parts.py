"""The language models inside checkpoints that also read images: their text is read, the rest of the weights is not."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Checkpoint, RenamedCheckpoint
from mmgen.models.checkpoints.family import Family, Values
from mmgen.models.lm.architectures import llama_kin, qwen_delta
from mmgen.models.lm.family_llama import FAMILIES as LLAMA

log = logging.getLogger(__name__)
SPELLINGS = (
    (re.compile(r"^(?:model\.)?language_model\.lm_head\."), "lm_head."),
    (re.compile(r"^(?:model\.)?language_model\.(?:model\.)?"), "model."),
)
"""How names of the text's tensors begin, in files of transformers before 4.52 and since, and in those of text models."""
GEMMA3 = {
    **LLAMA["gemma3_text"].defaults, "vocab_size": 262_208, "num_attention_heads": 8, "num_key_value_heads": 4,
    "head_dim": 256, "max_position_embeddings": 131_072, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
    "rope_local_base_freq": 10_000.0, "query_pre_attn_scalar": 256, "hidden_activation": "gelu_pytorch_tanh",
    "sliding_window": 4096,
}  # fmt: skip
"""What transformers takes for keys that `text_config` leaves out, as Google's files do."""


class TextTensors(RenamedCheckpoint):
    """The tensors of a checkpoint's language model by the names of a text model, without those of towers and projectors."""

    def __init__(self, whole: Checkpoint) -> None:
        super().__init__(whole, {plain(name): name for name in whole if plain(name)})
        if left := len(list(whole)) - len(self.names):
            log.warning("%s: %d tensors that read images are left out; this model writes text alone", whole.folder, left)


def _of(kinds: tuple[str, ...], family: Family) -> Any:
    """The family's reading of a configuration whose text is of one of its kinds."""

    def more(values: Values) -> dict[str, Any]:
        kind = (values.get("text_config") or {}).get("model_type", kinds[0])
        if kind not in kinds:
            raise BadWeights(f"config.json asks for a text model of the architecture {kind}; there are {', '.join(kinds)}")
        return family.more(values)

    return more


def plain(name: str) -> str:
    """A tensor's name in a text model; "": it is none of the language model's."""
    for begins, ours in SPELLINGS:
        if begins.match(name):
            return begins.sub(ours, name)
    return name if name.startswith("lm_head.") else ""


FAMILIES = {
    "gemma3": replace(
        LLAMA["gemma3_text"], architecture="Gemma3ForConditionalGeneration", more=_of(("gemma3_text",), LLAMA["gemma3_text"]),
        back=None, part=True, defaults=GEMMA3,
    ),
    "mistral3": replace(
        llama_kin.FAMILIES["ministral3"], architecture="Mistral3ForConditionalGeneration",
        more=_of(("mistral", "ministral3"), llama_kin.FAMILIES["ministral3"]), back=None, part=True,
    ),
    "qwen3_5": replace(
        qwen_delta.FAMILIES["qwen3_5_text"], architecture="Qwen3_5ForConditionalGeneration",
        more=_of(("qwen3_5_text",), qwen_delta.FAMILIES["qwen3_5_text"]), part=True,
    ),
}  # fmt: skip
