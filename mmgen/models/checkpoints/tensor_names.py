"""Names of weights: ours, and those of each family of checkpoints. Knows names and sizes; reads nothing.

`{}` stands for a layer's number, a second one for an expert's.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.transformer_config import TransformerConfig

Entries = dict[str, str | tuple[str, ...] | TensorName]
"""Our name without `.weight` or `.bias` -> theirs; of a layer where it holds `{}`."""
BERT_WORDS = "embeddings.word_embeddings.weight"


def spread(config: TransformerConfig, table: Entries, ours: str = "transformer.") -> dict[str, TensorName]:
    """The table for all layers and experts of one half, with weights and, where the shape has them, biases."""
    out: dict[str, TensorName] = {}
    for name, value in table.items():
        theirs = value if isinstance(value, TensorName) else TensorName((value,) if isinstance(value, str) else value)
        ranges = (range(config.layers), range(config.experts))[: name.count("{}")]
        for numbers in product(*ranges):
            if numbers and not _stands(config, name, numbers[0]):
                continue
            names = tuple(one.format(*numbers) for one in theirs.names)
            for kind in _kinds(config, name):
                key = f"{ours}{name.format(*numbers)}{kind and '.'}{kind}"
                transposed = theirs.transposed and kind == "weight"
                full = tuple(f"{one}{kind and '.'}{kind}" for one in names)
                index = None if theirs.index is None else (numbers[1], config.experts)
                out[key] = replace(theirs, names=full, transposed=transposed, scale=theirs.scale.format(*numbers), index=index)
    return out


def _stands(config: TransformerConfig, name: str, layer: int) -> bool:
    """Whether a layer has it: one feed-forward or a mixture of them, attention or a state."""
    if ".experts" in name:
        return config.mixes(layer)
    if ".attention." in name or ".delta." in name:
        return config.recurs(layer) == (".delta." in name)
    return not (config.mixes(layer) and name in ("blocks.{}.up", "blocks.{}.down"))


def _kinds(config: TransformerConfig, name: str) -> tuple[str, ...]:
    """Which tensors stand under our name."""
    last = name.rpartition(".")[2]
    if name == "bias" or last in ("query_norm", "key_norm"):
        return ("weight",)
    if "norm" in last or last.endswith("after"):
        biased = config.norm == "layer" and config.norm_bias
    elif last in ("qkv", "q", "kv"):
        biased = config.qkv_bias
    elif last == "out":
        biased = config.out_bias
    elif last == "router":
        biased = config.router_bias
    else:
        biased = last in ("up", "down") and config.feed_forward_bias
    return ("weight", "bias") if biased else ("weight",)


def qkv_sizes(config: TransformerConfig) -> tuple[int, int, int]:
    """Rows of queries with their gates, keys and values."""
    kv = config.kv_heads * config.head_size
    return config.heads * config.head_size * (1 + config.attention_gate), kv, kv


def attention_names(config: TransformerConfig, start: str, names: tuple[str, str, str, str]) -> dict[str, TensorName]:
    """Self-attention of queries, keys, values and output that stand apart."""
    *apart, out = (start + name for name in names)
    return {
        "blocks.{}.attention.qkv": TensorName(tuple(apart), qkv_sizes(config)),
        "blocks.{}.attention.out": TensorName((out,)),
    }


def head_names(config: TransformerConfig, name: str = "lm_head.weight") -> dict[str, TensorName]:
    """The language model's head, where it is not the words."""
    return {} if config.tied else {"head.weight": TensorName((name,))}


def llama(config: TransformerConfig) -> Names:
    """Llama, Mistral, Qwen, Gemma and Mixtral."""
    layer = "model.layers.{}."
    table: Entries = {
        "embed.words": "model.embed_tokens",
        "norm": "model.norm",
        "blocks.{}.attention_norm": f"{layer}input_layernorm",
        "blocks.{}.norm": f"{layer}post_attention_layernorm",
        **attention_names(config, f"{layer}self_attn.", ("q_proj", "k_proj", "v_proj", "o_proj")),
    }
    if config.norm_at == "both":
        table |= {
            "blocks.{}.attention_after": f"{layer}post_attention_layernorm",
            "blocks.{}.norm": f"{layer}pre_feedforward_layernorm",
            "blocks.{}.after": f"{layer}post_feedforward_layernorm",
        }
    if config.qk_norm:
        table["blocks.{}.attention.query_norm"] = f"{layer}self_attn.q_norm"
        table["blocks.{}.attention.key_norm"] = f"{layer}self_attn.k_norm"
    if config.experts:
        expert = f"{layer}block_sparse_moe.experts.{{}}."
        table["blocks.{}.experts.router"] = f"{layer}block_sparse_moe.gate"
        table["blocks.{}.experts.each.{}.up"] = (f"{expert}w1", f"{expert}w3")
        table["blocks.{}.experts.each.{}.down"] = f"{expert}w2"
    else:
        table["blocks.{}.up"] = (f"{layer}mlp.gate_proj", f"{layer}mlp.up_proj")
        table["blocks.{}.down"] = f"{layer}mlp.down_proj"
    return spread(config, table) | head_names(config)


def phi3(config: TransformerConfig) -> Names:
    table: Entries = {
        "embed.words": "model.embed_tokens",
        "norm": "model.norm",
        "blocks.{}.attention_norm": "model.layers.{}.input_layernorm",
        "blocks.{}.attention.qkv": "model.layers.{}.self_attn.qkv_proj",
        "blocks.{}.attention.out": "model.layers.{}.self_attn.o_proj",
        "blocks.{}.norm": "model.layers.{}.post_attention_layernorm",
        "blocks.{}.up": "model.layers.{}.mlp.gate_up_proj",
        "blocks.{}.down": "model.layers.{}.mlp.down_proj",
    }
    return spread(config, table) | head_names(config)


def gpt2(config: TransformerConfig) -> Names:
    layer = "transformer.h.{}."
    table: Entries = {
        "embed.words": "transformer.wte",
        "embed.positions": "transformer.wpe",
        "norm": "transformer.ln_f",
        "blocks.{}.attention_norm": f"{layer}ln_1",
        "blocks.{}.attention.qkv": TensorName((f"{layer}attn.c_attn",), transposed=True),
        "blocks.{}.attention.out": TensorName((f"{layer}attn.c_proj",), transposed=True),
        "blocks.{}.norm": f"{layer}ln_2",
        "blocks.{}.up": TensorName((f"{layer}mlp.c_fc",), transposed=True),
        "blocks.{}.down": TensorName((f"{layer}mlp.c_proj",), transposed=True),
    }
    return spread(config, table) | head_names(config)


def neox(config: TransformerConfig) -> Names:
    layer = "gpt_neox.layers.{}."
    table: Entries = {
        "embed.words": "gpt_neox.embed_in",
        "norm": "gpt_neox.final_layer_norm",
        "blocks.{}.attention_norm": f"{layer}input_layernorm",
        "blocks.{}.attention.qkv": TensorName((f"{layer}attention.query_key_value",), heads=config.heads),
        "blocks.{}.attention.out": f"{layer}attention.dense",
        "blocks.{}.norm": f"{layer}post_attention_layernorm",
        "blocks.{}.up": f"{layer}mlp.dense_h_to_4h",
        "blocks.{}.down": f"{layer}mlp.dense_4h_to_h",
    }
    return spread(config, table) | head_names(config, "embed_out.weight")


def bloom(config: TransformerConfig) -> Names:
    layer = "transformer.h.{}."
    table: Entries = {
        "embed.words": "transformer.word_embeddings",
        "embed.norm": "transformer.word_embeddings_layernorm",
        "norm": "transformer.ln_f",
        "blocks.{}.attention_norm": f"{layer}input_layernorm",
        "blocks.{}.attention.qkv": TensorName((f"{layer}self_attention.query_key_value",), heads=config.heads),
        "blocks.{}.attention.out": f"{layer}self_attention.dense",
        "blocks.{}.norm": f"{layer}post_attention_layernorm",
        "blocks.{}.up": f"{layer}mlp.dense_h_to_4h",
        "blocks.{}.down": f"{layer}mlp.dense_4h_to_h",
    }
    return spread(config, table) | head_names(config)


def bert_encoder(config: TransformerConfig, ours: str = "", theirs: str = "bert.") -> dict[str, TensorName]:
    """A sentence encoder's; a checkpoint of nothing else names it without `bert.`."""
    layer = f"{theirs}encoder.layer.{{}}."
    table: Entries = {
        "embed.words": f"{theirs}{BERT_WORDS}".removesuffix(".weight"),
        "embed.positions": f"{theirs}embeddings.position_embeddings",
        "embed.types": f"{theirs}embeddings.token_type_embeddings",
        "embed.norm": f"{theirs}embeddings.LayerNorm",
        **attention_names(config, f"{layer}attention.", ("self.query", "self.key", "self.value", "output.dense")),
        "blocks.{}.attention_norm": f"{layer}attention.output.LayerNorm",
        "blocks.{}.up": f"{layer}intermediate.dense",
        "blocks.{}.down": f"{layer}output.dense",
        "blocks.{}.norm": f"{layer}output.LayerNorm",
    }
    return spread(config, table, ours)


def bert(config: TransformerConfig) -> Names:
    """The masked language model: a sentence encoder's names, and those of its head."""
    head = {
        "transform.linear.weight": "transform.dense.weight",
        "transform.linear.bias": "transform.dense.bias",
        "transform.norm.weight": "transform.LayerNorm.weight",
        "transform.norm.bias": "transform.LayerNorm.bias",
        "head.bias": "bias",
    }
    predictions = {ours: TensorName((f"cls.predictions.{theirs}",)) for ours, theirs in head.items()}
    return bert_encoder(config, "transformer.") | predictions | head_names(config, "cls.predictions.decoder.weight")


def t5(config: TransformerConfig) -> Names:
    """Both halves share the words."""
    assert config.encoder is not None
    encoder = spread(config.encoder, _t5(config.encoder, "encoder.", 1), "encoder.")
    decoder = spread(config, _t5(config, "decoder.", 2))
    cross, layer = "blocks.{}.cross", "decoder.block.{}.layer.1."
    table: Entries = {
        f"{cross}_norm": f"{layer}layer_norm",
        f"{cross}.q": f"{layer}EncDecAttention.q",
        f"{cross}.kv": (f"{layer}EncDecAttention.k", f"{layer}EncDecAttention.v"),
        f"{cross}.out": f"{layer}EncDecAttention.o",
    }
    return encoder | decoder | spread(config, table) | head_names(config)


def _t5(config: TransformerConfig, half: str, last: int) -> Entries:
    """What both halves have; the feed-forward is sublayer `last`."""
    layer = f"{half}block.{{}}.layer."
    wide = ("wi_0", "wi_1") if config.gated else ("wi",)
    return {
        "embed.words": "shared",
        "norm": f"{half}final_layer_norm",
        "bias": f"{half}block.0.layer.0.SelfAttention.relative_attention_bias",
        "blocks.{}.attention_norm": f"{layer}0.layer_norm",
        **attention_names(config, f"{layer}0.SelfAttention.", ("q", "k", "v", "o")),
        "blocks.{}.norm": f"{layer}{last}.layer_norm",
        "blocks.{}.up": tuple(f"{layer}{last}.DenseReluDense.{one}" for one in wide),
        "blocks.{}.down": f"{layer}{last}.DenseReluDense.wo",
    }


def marian(config: TransformerConfig) -> Names:
    """The encoder-decoder of 2017."""
    assert config.encoder is not None
    encoder = spread(config.encoder, _marian(config.encoder, "model.encoder."), "encoder.")
    decoder = spread(config, _marian(config, "model.decoder."))
    cross, layer = "blocks.{}.cross", "model.decoder.layers.{}.encoder_attn"
    table: Entries = {
        f"{cross}_norm": f"{layer}_layer_norm",
        f"{cross}.q": f"{layer}.q_proj",
        f"{cross}.kv": (f"{layer}.k_proj", f"{layer}.v_proj"),
        f"{cross}.out": f"{layer}.out_proj",
    }
    head = {"head.bias": TensorName(("final_logits_bias",), ones=1)}
    return encoder | decoder | spread(config, table) | head | head_names(config)


def _marian(config: TransformerConfig, half: str) -> Entries:
    layer = f"{half}layers.{{}}."
    return {
        "embed.words": "model.shared",
        **attention_names(config, f"{layer}self_attn.", ("q_proj", "k_proj", "v_proj", "out_proj")),
        "blocks.{}.attention_norm": f"{layer}self_attn_layer_norm",
        "blocks.{}.up": f"{layer}fc1",
        "blocks.{}.down": f"{layer}fc2",
        "blocks.{}.norm": f"{layer}final_layer_norm",
    }
