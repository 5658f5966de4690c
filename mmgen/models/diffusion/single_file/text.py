"""CLIP text encoders of single files as transformers' modules, with CLIP's tokenizer, which is part of this package."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mmgen.config import assets_dir
from mmgen.errors import BadWeights
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.conditioning import ClipConditioner
from mmgen.models.diffusion.single_file.kinds import TEXT
from mmgen.models.diffusion.single_file.tensors import SingleFile, levels
from mmgen.models.diffusion.single_file.unet import fill

MERGES = "clip-merges.txt.gz"
HEAD_WIDTH = 64
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
"""Layers of a block, as open_clip calls them."""


def load(file: SingleFile, family: str, device: str, dtype: torch.dtype) -> ClipConditioner:
    """The text side of a model. Version 2 and XL read their encoders' last states but one."""
    prefixes = TEXT[family]
    two = len(prefixes) > 1
    encoders = []
    for prefix in prefixes:
        found = _open_clip(file, prefix, last=two) if ".model." in prefix else clip(file, prefix)
        encoders.append(found.requires_grad_(False).eval().to(device, dtype))
    ends = ["<|endoftext|>" if prefix.endswith("transformer.") else "!" for prefix in prefixes]
    return ClipConditioner(encoders, [tokenizer(end) for end in ends], zero_null=two)


def clip(file: SingleFile, prefix: str, projected: bool = False, activation: str = "quick_gelu") -> Any:
    """A CLIP under transformers' names. `projected`: with the projection of a whole prompt's vector."""
    import transformers

    inner = f"{prefix}text_model." if file.has(f"{prefix}text_model.") else prefix
    config = _config(file, inner, f"{inner}encoder.layers.{{}}.", activation)
    if projected:
        config.projection_dim = file.shape(f"{prefix}text_projection.weight")[0]
    with without_init():
        module: Any = (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)

    def source(name: str) -> str:
        return prefix + name if name.startswith("text_projection") else inner + name.removeprefix("text_model.")

    _fill(file, module, source)
    return module


def _open_clip(file: SingleFile, prefix: str, last: bool) -> Any:
    """open_clip's. `last`: with its last layer and its projection, as XL has it; version 2 leaves the layer out."""
    import transformers

    blocks = f"{prefix}transformer.resblocks.{{}}."
    config = _config(file, prefix, blocks, "gelu", 0 if last else 1)
    if last:
        config.projection_dim = file.shapes[f"{prefix}text_projection"][1]
    with without_init():
        module = (transformers.CLIPTextModelWithProjection if last else transformers.CLIPTextModel)(config)
    parts = _Parted(file, prefix)
    module.load_state_dict({name: parts.get(name.removeprefix("text_model.")) for name in module.state_dict()})
    return module


class _Parted:
    """open_clip's tensors under transformers' names: queries, keys and values lie in one matrix there."""

    def __init__(self, file: SingleFile, prefix: str) -> None:
        self.file, self.prefix = file, prefix

    def get(self, name: str) -> torch.Tensor:
        outer = {
            "embeddings.token_embedding.weight": "token_embedding.weight",
            "embeddings.position_embedding.weight": "positional_embedding",
            "final_layer_norm.weight": "ln_final.weight",
            "final_layer_norm.bias": "ln_final.bias",
        }
        if name in outer:
            return self.file.get(self.prefix + outer[name])
        if name == "text_projection.weight":
            return self.file.get(f"{self.prefix}text_projection").T.contiguous()
        found = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if found is None:
            raise BadWeights(f"{self.file.path} has a text encoder of another shape: nothing is known of {name}")
        block = f"{self.prefix}transformer.resblocks.{found[1]}."
        if found[2] in OPEN_CLIP:
            return self.file.get(f"{block}{OPEN_CLIP[found[2]]}.{found[3]}")
        whole = self.file.get(f"{block}attn.in_proj_{found[3]}").chunk(3)
        return whole["qkv".index(found[2].removeprefix("self_attn.")[0])].contiguous()


def _config(file: SingleFile, prefix: str, blocks: str, activation: str, left_out: int = 0) -> Any:
    import transformers

    hf = file.has(f"{prefix}embeddings.")
    words, width = file.shapes[f"{prefix}{'embeddings.' if hf else ''}token_embedding.weight"]
    places = file.shapes[f"{prefix}{'embeddings.position_embedding.weight' if hf else 'positional_embedding'}"][0]
    inner = file.shapes[f"{blocks.format(0)}{'mlp.fc1' if hf else 'mlp.c_fc'}.weight"][0]
    return transformers.CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=levels(file, blocks) - left_out,
        num_attention_heads=max(1, width // HEAD_WIDTH),
        max_position_embeddings=places,
        hidden_act=activation,
        projection_dim=width,
        bos_token_id=words - 2,
        eos_token_id=words - 1,
        pad_token_id=words - 1,
    )


def _fill(file: SingleFile, module: Any, source: Any) -> None:
    with torch.no_grad():
        fill(file, module, source)


@cache
def tokenizer(padding: str) -> Any:
    """CLIP's, 49,408 tokens: bytes, bytes at a word's end, merges, and the two ends. `padding`: the token that fills rows."""
    import transformers

    merges = gzip.decompress((assets_dir() / "words" / MERGES).read_bytes()).decode().split("\n")[:-1]
    letters = _letters()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(one.split()) for one in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    with TemporaryDirectory(prefix="mmgen-") as made:
        vocab, merged = Path(made) / "vocab.json", Path(made) / "merges.txt"
        vocab.write_text(json.dumps({word: number for number, word in enumerate(words)}), encoding="utf-8")
        merged.write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
        return transformers.CLIPTokenizer(str(vocab), str(merged), model_max_length=77, pad_token=padding)


def _letters() -> list[str]:
    """A letter for each byte, as GPT-2's vocabulary has them: printable ones are themselves and come first."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    return [chr(byte) for byte in plain] + [chr(256 + number) for number in range(256 - len(plain))]
