"""Stable Diffusion 3 and 3.5 as Stability AI name their tensors."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors, Renaming, Rows, swapped

HEAD = 64
OUTER = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
}
LAYERS = {
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn2.to_out.0": "x_block.attn2.proj",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}


def renaming(blocks: int) -> Renaming:
    """Of a model with so many blocks: the last one's context is normed otherwise than the others'."""
    return partial(rows, blocks - 1)


def rows(last: int, name: str) -> Rows:
    path, _, end = name.rpartition(".")
    if name == "pos_embed.pos_embed":
        return Rows("pos_embed")
    if path == "norm_out.linear":
        return swapped(f"final_layer.adaLN_modulation.1.{end}")
    if path in OUTER:
        return Rows(f"{OUTER[path]}.{end}")
    found = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", path)
    if found is None:
        raise BadWeights(f"Stable Diffusion 3 has no tensor {name}")
    block, layer = f"joint_blocks.{found[1]}.", found[2]
    if layer == "norm1_context.linear" and int(found[1]) == last:
        return swapped(f"{block}{LAYERS[layer]}.{end}")
    if layer in LAYERS:
        return Rows(f"{block}{LAYERS[layer]}.{end}")
    attention, part = layer.split(".")
    where = f"{block}{'context' if 'add' in part else 'x'}_block.{attention}."
    if "norm" in part:
        return Rows(f"{where}ln_{part[-1]}.{end}")
    number = "qkv".index(part.removeprefix("to_").removeprefix("add_")[0])
    return Rows(f"{where}qkv.{end}", ((number, number + 1),), 3)


def config(tensors: RenamedTensors) -> dict[str, Any]:
    """Of diffusers' SD3Transformer2DModel."""
    width, channels, patch, _ = tensors.shape("pos_embed.proj.weight")
    blocks = tensors.levels("transformer_blocks.{}.norm1.linear.weight")
    dual = (n for n in range(blocks) if tensors.has(f"transformer_blocks.{n}.attn2.to_q.weight"))
    return {
        "sample_size": 128,
        "patch_size": patch,
        "in_channels": channels,
        "out_channels": tensors.shape("proj_out.weight")[0] // patch**2,
        "num_layers": blocks,
        "attention_head_dim": HEAD,
        "num_attention_heads": width // HEAD,
        "joint_attention_dim": tensors.shape("context_embedder.weight")[1],
        "caption_projection_dim": tensors.shape("context_embedder.weight")[0],
        "pooled_projection_dim": tensors.shape("time_text_embed.text_embedder.linear_1.weight")[1],
        "pos_embed_max_size": math.isqrt(tensors.shape("pos_embed.pos_embed")[1]),
        "dual_attention_layers": tuple(dual),
        "qk_norm": "rms_norm" if tensors.has("transformer_blocks.0.attn.norm_q.weight") else None,
    }


def scheduler(found: dict[str, Any]) -> dict[str, Any]:
    return {"shift": 3.0}
