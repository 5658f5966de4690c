"""T5's encoder from a file of its own or of a whole model, and its tokenizer, which lies beside the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadWeights, NotFound
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.single_file.tensors import SingleFile, levels

HEAD = 64
MARK = "encoder.block.0.layer.0.SelfAttention.q.weight"
TOKENIZERS = ("tokenizer.json", "spiece.model")
LONGEST = 512


def load(file: SingleFile, prefix: str, device: str, dtype: torch.dtype) -> Any:
    """transformers' T5EncoderModel. Raises BadWeights where tensors are missing."""
    import transformers

    block = f"{prefix}encoder.block.{{}}."
    words, width = file.shape(f"{prefix}shared.weight")
    first = f"{block.format(0)}layer.0.SelfAttention."
    buckets, heads = file.shape(f"{first}relative_attention_bias.weight")
    gated = f"{block.format(0)}layer.1.DenseReluDense.wi_0.weight"
    config = transformers.T5Config(
        vocab_size=words,
        d_model=width,
        d_kv=file.shape(f"{first}q.weight")[0] // heads,
        d_ff=file.shape(gated)[0],
        num_layers=levels(file, block),
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
        for name, weight in module.state_dict(keep_vars=True).items():
            weight.data.copy_(file.get(prefix + ("shared.weight" if name == "encoder.embed_tokens.weight" else name)))
    return module.requires_grad_(False).eval().to(device)


def tokenizer(folders: Iterable[Path]) -> Any:
    """From tokenizer.json or spiece.model in the first of the folders that has one. Raises NotFound where none has."""
    import transformers

    folders = list(folders)
    for folder in (inner for one in folders for inner in (one, one / "tokenizer", one / "tokenizer_2", one / "tokenizer_3")):
        for name in TOKENIZERS:
            if (path := folder / name).is_file():
                return _read(transformers, path)
    raise NotFound(
        f"T5's encoder has no tokenizer in {' or '.join(map(str, folders))}; "
        "put tokenizer.json or spiece.model of google/t5-v1_1-xxl there"
    )


def _read(transformers: Any, path: Path) -> Any:
    named = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "model_max_length": LONGEST}
    try:
        if path.suffix == ".json":
            return transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), **named)
        return transformers.T5TokenizerFast(vocab_file=str(path), extra_ids=100, **named)
    except Exception as why:  # the tokenizers' parsers raise whatever they like
        raise BadWeights(f"{path} cannot be read as a tokenizer ({str(why)[:100]}); fetch it again") from None
