"""Tiny random decoders whose matrices are GGUF's blocks."""

from dataclasses import replace
from typing import Any

from packed_tensors import packed

from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization import block_layers
from mmgen.models.transformer_config import TransformerConfig

LLAMA = TransformerConfig(
    vocab_size=50, hidden_size=64, layers=3, heads=4, num_kv_heads=2, intermediate_size=128,
    max_tokens=128, positions="rotary", norm="rms",
    norm_at="pre", norm_eps=1e-5, activation="silu", gated=True, causal=True, qkv_bias=False, out_bias=False,
    feed_forward_bias=False, embedding_norm=False,
)  # fmt: skip


def in_blocks(model: Transformer) -> None:
    """Linear layers as a GGUF file has them: q, k and v of several types."""
    config = model.config
    sizes = (config.heads, config.kv_heads, config.kv_heads)
    for block in model.blocks:
        attention: Any = block.attention
        kinds = zip(("Q4_1", "Q5_0", "F16"), sizes, strict=True)
        qkv = [packed(kind, size * config.head_size, config.hidden_size) for kind, size in kinds]
        block_layers.replace(attention, "qkv", qkv, attention.qkv.bias)
        for holder, name, kind in ((attention, "out", "Q8_0"), (block, "up", "Q4_0"), (block, "down", "MXFP4")):
            layer = getattr(holder, name)
            block_layers.replace(holder, name, [packed(kind, layer.out_features, layer.in_features)])


def whole_in_blocks(config: TransformerConfig = LLAMA) -> Any:
    """A language model with word vectors and head in blocks too."""
    model: Any = LanguageModel(replace(config, tied=True)).eval()
    in_blocks(model.transformer)
    words = block_layers.replace(model.transformer.embed, "words", [packed("Q8_0", 50, 64)])
    block_layers.replace(model, "head", words)
    model.pack()
    return model
