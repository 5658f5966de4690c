"""What a family of checkpoints is: its config.json as a shape of ours and back, and its names of tensors. Reads no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints.convert import Names
from mmgen.models.transformer_config import TransformerConfig

Values = Mapping[str, Any]
"""A config.json."""

ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "relu": "relu",
    "relu2": "relu2", "silu": "silu", "swish": "silu", "quick_gelu": "quick_gelu",
}  # fmt: skip
BACK = {
    "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu", "relu": "relu", "relu2": "relu2",
    "silu": "silu",
}  # fmt: skip
REQUIRED = {"vocab_size", "hidden_size", "layers", "heads", "intermediate_size", "max_tokens"}
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint."""

    architecture: str  # its class in transformers
    keys: Mapping[str, str]  # our field -> their key, where the values are the same
    fixed: Mapping[str, Any]  # fields that are the same for all its checkpoints
    table: Callable[[TransformerConfig], Names]
    more: Callable[[Values], dict[str, Any]]  # the other fields
    back: Callable[[TransformerConfig], dict[str, Any]] | None = None  # the other keys; None: its files are read, not written
    prefix: str = ""  # of its tensors' names; files of the bare model lack it
    ignored: str = r"^$"  # pattern of its tensors that are not read
    defaults: Mapping[str, Any] = field(default_factory=dict)  # what a key says where it is left out
    part: bool = False  # a language model inside a checkpoint that has more, see lm/architectures/text_parts.py

    def shape(self, values: Values) -> TransformerConfig:
        """Raises KeyError where a key is missing, BadWeights where it asks for what we do not have."""
        if isinstance(text := values.get("text_config"), Mapping):  # a model that reads images too
            values = {**values, **text}
        known = {**self.defaults, **{key: value for key, value in values.items() if value is not None}}
        more = self.more(known)
        needed = {ours for ours in self.keys if ours in REQUIRED and ours not in more}
        same = {ours: known[theirs] for ours, theirs in self.keys.items() if theirs in known or ours in needed}
        return TransformerConfig(**{**self.fixed, **same, **more})

    def values(self, shape: TransformerConfig) -> dict[str, Any]:
        """The config.json of a shape; loads in transformers. Raises BadRequest for a family that is not written."""
        if self.back is None:
            raise BadRequest(f"{self.architecture} checkpoints are read and not written; save the model in mmgen's own format")
        same = {theirs: getattr(shape, ours) for ours, theirs in self.keys.items()}
        return {"architectures": [self.architecture], "dtype": "float32", **same, **self.back(shape)}


def activation(values: Values, *keys: str) -> dict[str, Any]:
    """The field, from the first of the keys that is there. Raises BadWeights for one that we do not have."""
    name = next((values[key] for key in keys if key in values), "gelu")
    if name not in ACTIVATIONS:
        raise BadWeights(f"config.json asks for the activation {name}; there are {', '.join(ACTIVATIONS)}")
    return {"activation": ACTIVATIONS[name]}
