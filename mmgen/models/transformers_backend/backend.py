"""Which road a checkpoint runs by: our own layers, transformers' on our paged KV cache, or transformers' with its own cache."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.lm import families
from mmgen.models.lm.language_model import OWN
from mmgen.registry import one_line

Backend = Literal["native", "paged", "own-cache"]
PAGED_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers, as config.json's `layer_types` names them, that keep keys and values of every token and nothing else."""
ROW_WIDE_ROPE = ("dynamic", "longrope")
"""Rotary scalings that transformers computes once a row, from its longest position: texts in a row would change each other."""


def backend_of(source: Path | Mapping[str, Any]) -> Backend:
    """How a language model is run, from its folder or the values of its config.json. Reads no weights.

    "native": by `mmgen.models.lm`. "paged": transformers' layers, their attention over our paged KV cache. "own-cache":
    transformers' layers with the cache that it makes for each text: recurrent states, encoder-decoders, attention of
    their own. A model that is "paged" by its config is still compared with the library when it is loaded.

    Raises BadWeights for an architecture that the installed transformers does not know either, or that writes no text.
    """
    values = read_json(source / "config.json") if isinstance(source, Path) else source
    where = str(source / "config.json") if isinstance(source, Path) else "config.json"
    if is_native(values, Path(where)):
        return "native"
    config = upstream_config(values, where)
    return "own-cache" if unpaged(config) else "paged"


def unpaged(config: Any) -> str:
    """Why a model of transformers cannot run on our KV cache, as half a sentence; "": nothing in its config says so."""
    model = upstream_class(config)
    text = config.get_text_config(decoder=True)
    if getattr(config, "is_encoder_decoder", False) or model is None:
        return "it reads with an encoder"
    kinds = set(getattr(text, "layer_types", None) or ()) - PAGED_LAYERS
    if kinds or model._is_stateful:
        return f"it has layers of the kind {', '.join(sorted(kinds))}" if kinds else "it keeps a recurrent state"
    interface = "ALL_ATTENTION_FUNCTIONS" in vars(sys.modules[model.__module__])
    if not (model._supports_attention_backend or interface):
        return "its attention cannot be chosen"
    if ropes := sorted(_ropes(getattr(text, "rope_parameters", None)) & set(ROW_WIDE_ROPE)):
        return f"its rotary scaling ({', '.join(ropes)}) depends on the longest text of a pass"
    return ""


def upstream_config(values: Mapping[str, Any], where: str) -> Any:
    """config.json as transformers' own object; code that a folder brings along is never run.

    Raises BadWeights where the library does not know the architecture, refuses its values, or has no text model for it.
    """
    import transformers
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    name = str(values.get("model_type"))
    if name not in CONFIG_MAPPING:
        own = " and brings code of its own, which is never run" if "auto_map" in values else ""
        raise BadWeights(
            f"{where} is of the architecture {name}{own}; neither mmgen nor transformers {transformers.__version__} has it: "
            "upgrade transformers, or take the model in GGUF"
        )
    try:
        config = CONFIG_MAPPING[name].from_dict(
            PreTrainedConfig._decode_special_floats(dict(values))
        )  # an infinity, as it writes it
    except Exception as why:  # whatever a configuration class raises
        raise BadWeights(f"transformers refuses {where} ({one_line(why)[:200]}); copy or download it again") from None
    if upstream_class(config) is None and not _is_seq2seq(config):
        raise BadWeights(f"{where} is of the architecture {name}, which writes no text; take a causal language model")
    return config


def upstream_class(config: Any) -> Any:
    """The causal language model that transformers makes of a config; None: it has none."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    except KeyError:
        return None
    return found[0] if isinstance(found, tuple | list) else found


def _is_seq2seq(config: Any) -> bool:
    from transformers import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    return type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING


def is_native(values: Mapping[str, Any], where: Path) -> bool:
    """Whether `mmgen.models.lm` has the family and all that its config asks for."""
    name = values.get("model_type")
    if name == OWN:
        return True
    if name not in families.FAMILIES:
        return False
    try:
        families.find(values, where).shape(values)
    except KeyError:
        return True  # a key is missing, which the native loader tells best
    except BadWeights:
        return False
    return True


def writes_text(values: Mapping[str, Any], where: Path) -> bool:
    """Whether a config names a model that is run as a language model alone, without what else it may read, such as images."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    name = str(values.get("model_type"))
    return is_native(values, where) or (name in CONFIG_MAPPING and CONFIG_MAPPING[name] in MODEL_FOR_CAUSAL_LM_MAPPING)


def _ropes(parameters: Any) -> set[str]:
    """The `rope_type`s of a config's `rope_parameters`: one for all layers, or one a kind of layer."""
    if not isinstance(parameters, Mapping):
        return set()
    own = {str(parameters["rope_type"])} if "rope_type" in parameters else set()
    return own.union(*(_ropes(one) for one in parameters.values()))
