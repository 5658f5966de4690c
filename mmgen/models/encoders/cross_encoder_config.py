"""What the files beside a cross-encoder's weights say. Reads no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.encoders import bert_config

ARCHITECTURE = "mmgen-cross-encoder"
"""`architecture` in the config.json of those that are trained here."""
ACTIVATIONS = {"torch.nn.modules.linear.Identity": "identity", "torch.nn.modules.activation.Sigmoid": "sigmoid"}
"""As config.json names what turns the logit into a score."""
CLASSIFIERS = "ForSequenceClassification"
DECODERS = "ForCausalLM"


def check(folder: Path) -> None:
    """Raises BadWeights unless the folder's weights give one score a pair."""
    values = read_json(folder / "config.json")
    name = _architecture(values)
    if hub.kind_of(folder) == "cross-encoder":
        labels = len(values.get("id2label") or {}) or int(values.get("num_labels", 1))
        if name.endswith(CLASSIFIERS) and labels != 1 and not bert_config.modules(folder):
            raise BadWeights(
                f"{folder} sorts texts into {labels} labels, and a reranker gives one score; take one trained for ranking"
            )
    elif not name.endswith(DECODERS):
        raise BadWeights(f"{folder} holds {name or 'no classifier'}, which scores no pairs; give a cross-encoder's folder")


def beyond(folder: Path) -> str:
    """What our own transformer does not do, in a few words; empty: it does all. Raises BadWeights as `check` does."""
    check(folder)
    values = read_json(folder / "config.json")
    if values.get("architecture") == ARCHITECTURE:
        return ""
    if (name := _architecture(values)) != f"Bert{CLASSIFIERS}":
        return name
    if (steps := bert_config.modules(folder)) not in ([], ["Transformer"]):
        return f"modules {', '.join(steps)}"
    return bert_config.settings(folder).beyond


def activation(folder: Path, values: dict[str, Any]) -> str:
    """What follows the logit: sigmoid, unless the checkpoint says otherwise."""
    named = bert_config.optional(folder / "config_sentence_transformers.json").get("activation_fn")
    named = named or (values.get("sentence_transformers") or {}).get("activation_fn")
    named = named or values.get("sbert_ce_default_activation_function") or "torch.nn.modules.activation.Sigmoid"
    if named not in ACTIVATIONS:
        raise BadWeights(f"{folder} turns logits into scores by {named}, known are {', '.join(ACTIVATIONS.values())}")
    return ACTIVATIONS[named]


def _architecture(values: dict[str, Any]) -> str:
    names = values.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""
