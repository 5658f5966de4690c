"""What the files beside BERT-family weights say: shape, length, pooling. Knows both libraries' formats; reads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.lm.transformer import TransformerConfig

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
POOLINGS = {"mean", "cls"}
MODULES = {"Transformer", "Pooling", "Normalize"}
OLD_POOLINGS = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens", "sqrt": "mean_sqrt_len_tokens",
                "weighted": "weightedmean_tokens", "last": "lasttoken"}  # fmt: skip
"""Names in files written before sentence-transformers 6, as in `pooling_mode_mean_tokens: true`."""


@dataclass(frozen=True)
class EncoderSettings:
    """Of one folder."""

    config: TransformerConfig
    max_tokens: int  # of a text, [CLS] and [SEP] among them
    pooling: str
    beyond: str  # what our own transformer does not do, in a few words; empty: it does all
    truncate_dim: int | None = None  # dimensions of a vector that are kept, the first ones


def settings(folder: Path) -> EncoderSettings:
    """Raises BadWeights where config.json is missing, damaged or no BERT's."""
    path = folder / "config.json"
    values = read_json(path)
    try:
        config = TransformerConfig(
            vocab_size=values["vocab_size"],
            hidden_size=values["hidden_size"],
            layers=values["num_hidden_layers"],
            heads=values["num_attention_heads"],
            intermediate_size=values["intermediate_size"],
            max_tokens=values["max_position_embeddings"],
            token_types=values["type_vocab_size"],
            norm_eps=values["layer_norm_eps"],
            activation=ACTIVATIONS.get(values["hidden_act"], "gelu"),  # type: ignore[arg-type]
        )
    except KeyError as missing:
        raise BadWeights(f"{path} lacks {missing}; it is no BERT configuration") from None
    pooling = _pooling(optional(folder / "1_Pooling" / "config.json"))
    beyond = _beyond(folder, values, pooling)
    return EncoderSettings(config, _max_tokens(folder, config.max_tokens), pooling, beyond, truncate_dim(folder))


def truncate_dim(folder: Path) -> int | None:
    """As sentence-transformers saves it; None keeps all dimensions."""
    told = optional(folder / "config_sentence_transformers.json").get("truncate_dim")
    return int(told) if told else None


def optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _max_tokens(folder: Path, most: int) -> int:
    told = optional(folder / "sentence_bert_config.json").get("max_seq_length")
    return int(min(most, told or optional(folder / "tokenizer_config.json").get("model_max_length") or most))


def _pooling(values: dict[str, Any]) -> str:
    """One name, or several joined by a plus where their vectors are."""
    if (mode := values.get("pooling_mode")) is not None:
        return mode if isinstance(mode, str) else "+".join(mode)
    return "+".join(name for name, old in OLD_POOLINGS.items() if values.get(f"pooling_mode_{old}")) or "mean"


def _beyond(folder: Path, values: dict[str, Any], pooling: str) -> str:
    steps = modules(folder)
    own = optional(folder / "sentence_bert_config.json")
    reasons = {
        f"activation {values['hidden_act']}": values["hidden_act"] not in ACTIVATIONS,
        f"{values.get('position_embedding_type')} positions": values.get("position_embedding_type") not in (None, "absolute"),
        "a decoder": bool(values.get("is_decoder")),
        f"{pooling} pooling": pooling not in POOLINGS,
        f"modules {', '.join(steps)}": not MODULES.issuperset(steps),
        "lower-casing before the tokenizer": bool(own.get("do_lower_case")),
        "pooling without the prompt": optional(folder / "1_Pooling" / "config.json").get("include_prompt") is False,
        "no tokenizer.json": not (folder / "tokenizer.json").is_file(),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def modules(folder: Path) -> list[str]:
    """Class names of the steps from text to vector; read_json takes objects only, and modules.json is a list."""
    import json

    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        return [str(step["type"]).rpartition(".")[2] for step in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError, KeyError, OSError) as why:
        raise BadWeights(f"{path} cannot be read ({why}); fetch the model again") from None
