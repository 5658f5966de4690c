"""Families with an encoder: BERT as a masked language model, T5, and the encoder-decoder of 2017 as Marian has it."""

from __future__ import annotations

from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import tensor_names
from mmgen.models.checkpoints.family import BACK, TIED, Family, Values, activation
from mmgen.models.transformer_config import TransformerConfig

BERT_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
    "intermediate_size": "intermediate_size", "max_tokens": "max_position_embeddings", "norm_eps": "layer_norm_eps",
    "token_types": "type_vocab_size", "tied": "tie_word_embeddings",
}  # fmt: skip
T5_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "d_model", "layers": "num_decoder_layers", "heads": "num_heads",
    "intermediate_size": "d_ff", "head_dim": "d_kv", "norm_eps": "layer_norm_epsilon",
    "relative_buckets": "relative_attention_num_buckets", "relative_distance": "relative_attention_max_distance",
}  # fmt: skip
MARIAN_KEYS = {
    "vocab_size": "vocab_size", "hidden_size": "d_model", "layers": "decoder_layers", "heads": "decoder_attention_heads",
    "intermediate_size": "decoder_ffn_dim", "max_tokens": "max_position_embeddings", "tied": "tie_word_embeddings",
}  # fmt: skip

BERT_FIXED: dict[str, Any] = {"head_bias": True, "head_transform": True}
T5_FIXED: dict[str, Any] = {
    "positions": "relative", "norm": "rms", "norm_at": "pre", "embedding_norm": False, "qkv_bias": False,
    "out_bias": False, "feed_forward_bias": False, "scale": 1.0,
}  # fmt: skip
MARIAN_FIXED: dict[str, Any] = {"positions": "sinusoidal", "embedding_norm": False, "norm_eps": 1e-5}


def _bert(values: Values) -> dict[str, Any]:
    if values.get("position_embedding_type", "absolute") != "absolute" or values.get("is_decoder"):
        raise BadWeights("config.json asks for a BERT with relative positions or a decoder, which ours has not")
    return activation(values, "hidden_act")


def _bert_back(shape: TransformerConfig) -> dict[str, Any]:
    return {"hidden_act": BACK[shape.activation]}


def _t5(values: Values) -> dict[str, Any]:
    kind = values.get("feed_forward_proj", "relu")
    gated, name = kind.startswith("gated-"), kind.removeprefix("gated-")
    tied = values.get("tie_word_embeddings", True)
    shared = {
        "max_tokens": values.get("n_positions", 512),  # T5 has no limit; this is what it was trained on
        "gated": gated,
        **activation({"name": "gelu_new" if gated and name == "gelu" else name}, "name"),
    }
    same = {ours: values[theirs] for ours, theirs in T5_KEYS.items() if theirs in values and ours != "layers"}
    encoder = TransformerConfig(**{**T5_FIXED, **same, **shared, "layers": values["num_layers"]})
    return {
        **shared,
        "layers": values.get("num_decoder_layers", values["num_layers"]),
        "causal": True,
        "encoder": encoder,
        "tied": tied,
        "head_scaled": values.get("scale_decoder_outputs", tied),
    }


def _t5_back(shape: TransformerConfig) -> dict[str, Any]:
    assert shape.encoder is not None
    name = {"gelu_tanh": "gelu_new"}.get(shape.activation, shape.activation)
    return {
        "num_layers": shape.encoder.layers,
        "n_positions": shape.max_tokens,
        "feed_forward_proj": ("gated-" if shape.gated else "") + name,
        "is_encoder_decoder": True,
        "tie_word_embeddings": shape.tied,
        "scale_decoder_outputs": shape.head_scaled,
        "decoder_start_token_id": 0,
        "pad_token_id": 0,
    }


def _marian(values: Values) -> dict[str, Any]:
    if values.get("decoder_vocab_size", values["vocab_size"]) != values["vocab_size"]:
        raise BadWeights("config.json asks for two vocabularies; ours shares one")
    shared = {
        "vocab_size": values["vocab_size"],
        "hidden_size": values["d_model"],
        "max_tokens": values["max_position_embeddings"],
        "embedding_scaled": bool(values.get("scale_embedding")),
        **activation(values, "activation_function"),
    }
    own = {
        "layers": values["encoder_layers"],
        "heads": values["encoder_attention_heads"],
        "intermediate_size": values["encoder_ffn_dim"],
    }
    encoder = TransformerConfig(**{**MARIAN_FIXED, **shared, **own})
    return {**shared, "causal": True, "head_bias": True, "encoder": encoder}


def _marian_back(shape: TransformerConfig) -> dict[str, Any]:
    assert shape.encoder is not None
    return {
        "encoder_layers": shape.encoder.layers,
        "encoder_attention_heads": shape.encoder.heads,
        "encoder_ffn_dim": shape.encoder.intermediate_size,
        "decoder_vocab_size": shape.vocab_size,
        "activation_function": BACK[shape.activation],
        "scale_embedding": shape.embedding_scaled,
        "is_encoder_decoder": True,
        "decoder_start_token_id": shape.vocab_size - 1,
        "pad_token_id": shape.vocab_size - 1,
    }


FAMILIES = {
    "bert": Family(
        "BertForMaskedLM", BERT_KEYS, BERT_FIXED, tensor_names.bert, _bert, _bert_back, prefix="bert.",
        ignored=r"pooler|seq_relationship|position_ids$|cls\.predictions\.decoder", defaults=TIED,
    ),
    "t5": Family(
        "T5ForConditionalGeneration", T5_KEYS, T5_FIXED, tensor_names.t5, _t5, _t5_back, ignored=r"embed_tokens\.weight$",
        defaults={"layer_norm_epsilon": 1e-6},
    ),
    "marian": Family(
        "MarianMTModel", MARIAN_KEYS, MARIAN_FIXED, tensor_names.marian, _marian, _marian_back,
        ignored=r"embed_positions\.weight$|embed_tokens\.weight$", defaults=TIED,
    ),
}  # fmt: skip
