"""T5's encoder from a file of its own or of a whole model, and its tokenizer, which lies beside the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadWeights, NotFound
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.single_file.gguf import GGUFSingleFile, Packing, TypedLinear
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors, Rows

MARK = "encoder.block.0.layer.0.SelfAttention.q.weight"
GGUF_MARK = "enc.blk.0.attn_rel_b.weight"
TOKENIZERS = ("tokenizer.json", "spiece.model")
LONGEST = 512
GGUF_LAYERS = {
    "layer.0.SelfAttention.q": "attn_q", "layer.0.SelfAttention.k": "attn_k", "layer.0.SelfAttention.v": "attn_v",
    "layer.0.SelfAttention.o": "attn_o", "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.0.layer_norm": "attn_norm", "layer.1.DenseReluDense.wi_0": "ffn_gate", "layer.1.DenseReluDense.wi_1": "ffn_up",
    "layer.1.DenseReluDense.wo": "ffn_down", "layer.1.layer_norm": "ffn_norm",
}  # fmt: skip
"""Layers of a block, as llama.cpp calls them."""


def rows(name: str) -> Rows:
    """The words' vectors stand twice in transformers."""
    return Rows("shared.weight" if name == "encoder.embed_tokens.weight" else name)


def gguf_rows(name: str) -> Rows:
    """As llama.cpp names the tensors of an encoder."""
    path, _, end = name.rpartition(".")
    if path in ("shared", "encoder.embed_tokens"):
        return Rows(f"token_embd.{end}")
    if path == "encoder.final_layer_norm":
        return Rows(f"enc.output_norm.{end}")
    _, _, number, layer = path.split(".", 3)
    return Rows(f"enc.blk.{number}.{GGUF_LAYERS[layer]}.{end}")


def load(file: SingleFile, prefix: str, device: str, dtype: torch.dtype) -> Any:
    """transformers' T5EncoderModel, of a GGUF file on a CPU in its blocks. Raises BadWeights where tensors are missing."""
    import transformers

    packed = isinstance(file, GGUFSingleFile)
    tensors = RenamedTensors(file, prefix, gguf_rows if packed else rows)
    block = "encoder.block.{}.layer.0.layer_norm.weight"
    words, width = tensors.shape("shared.weight")
    attention = "encoder.block.0.layer.0.SelfAttention"
    buckets, heads = tensors.shape(f"{attention}.relative_attention_bias.weight")
    config = transformers.T5Config(
        vocab_size=words,
        d_model=width,
        d_kv=tensors.shape(MARK)[0] // heads,
        d_ff=tensors.shape("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")[0],
        num_layers=tensors.levels(block),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
    )
    with without_init(dtype):
        module: Any = transformers.T5EncoderModel(config)
    if dtype == torch.float16:  # which overflows here, as in transformers' own loading
        for name, layer in module.named_modules():
            if name.endswith(".wo"):
                layer.to(torch.float32)
    with torch.no_grad():
        tensors.fill(module, Packing(file, TypedLinear) if isinstance(file, GGUFSingleFile) and device == "cpu" else None)
    return module.requires_grad_(False).eval().to(device)


def tokenizer(folders: Iterable[Path]) -> Any:
    """From tokenizer.json or spiece.model in the first of the folders that has one. Raises NotFound where none has."""
    folders = list(folders)
    for folder in (inner for one in folders for inner in (one, one / "tokenizer", one / "tokenizer_2", one / "tokenizer_3")):
        for name in TOKENIZERS:
            if (path := folder / name).is_file():
                return _read(path)
    raise NotFound(
        f"T5's encoder has no tokenizer in {' or '.join(map(str, folders))}; "
        "put tokenizer.json or spiece.model of google/t5-v1_1-xxl there"
    )


def gguf_tokenizer(file: GGUFSingleFile) -> Any:
    """The unigram tokenizer that stands in the file's metadata. Raises BadWeights where none does."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokens, scores = (list(file.metadata.get(f"tokenizer.ggml.{name}") or ()) for name in ("tokens", "scores"))
    if file.metadata.get("tokenizer.ggml.model") != "t5" or not tokens or len(tokens) != len(scores):
        raise BadWeights(
            f"{file.path} holds no tokenizer of T5's kind; take the safetensors file with tokenizer.json beside it"
        )
    unknown, end = (
        int(file.metadata.get(f"tokenizer.ggml.{name}_token_id", usual)) for name, usual in (("unknown", 2), ("eos", 1))
    )
    made = Tokenizer(models.Unigram(list(zip(tokens, scores, strict=True)), unk_id=unknown))
    steps: list[Any] = [normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), " ")]
    if charsmap := file.metadata.get("tokenizer.ggml.precompiled_charsmap"):
        steps.insert(0, normalizers.Precompiled(bytes(one % 256 for one in charsmap)))
    made.normalizer = normalizers.Sequence(steps)
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    word = tokens[end]
    made.post_processor = processors.TemplateProcessing(single=["$A", word], special_tokens=[(word, end)])
    return _named(tokenizer_object=made)


def _read(path: Path) -> Any:
    import transformers

    try:
        if path.suffix == ".json":
            return _named(tokenizer_file=str(path))
        return transformers.T5TokenizerFast(vocab_file=str(path), extra_ids=100, model_max_length=LONGEST)
    except Exception as why:  # the tokenizers' parsers raise whatever they like
        raise BadWeights(f"{path} cannot be read as a tokenizer ({str(why)[:100]}); fetch it again") from None


def _named(**given: Any) -> Any:
    import transformers

    named = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": LONGEST}
    return transformers.PreTrainedTokenizerFast(**given, **named)
