"""FLUX.1 as Black Forest Labs name its tensors."""

from __future__ import annotations

import re
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors, Rows, swapped

OUTER = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
}
DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
FUSED = {
    "to_q": ("img_attn", 0), "to_k": ("img_attn", 1), "to_v": ("img_attn", 2),
    "add_q_proj": ("txt_attn", 0), "add_k_proj": ("txt_attn", 1), "add_v_proj": ("txt_attn", 2),
}  # fmt: skip
NORMS = {
    "norm_q": "img_attn.norm.query_norm", "norm_k": "img_attn.norm.key_norm",
    "norm_added_q": "txt_attn.norm.query_norm", "norm_added_k": "txt_attn.norm.key_norm",
}  # fmt: skip
SINGLE = {"norm.linear": "modulation.lin", "proj_out": "linear2"}
SINGLE_FUSED = {"attn.to_q": (0, 1), "attn.to_k": (1, 2), "attn.to_v": (2, 3), "proj_mlp": (3, 7)}
"""Rows of linear1, in widths of the model: queries, keys, values, and four times as many of the feed-forward."""
CHANNELS = {128: "Depth or Canny", 384: "Fill"}
"""Of the image tokens, where another image is told beside the noisy one."""


def rows(name: str) -> Rows:
    path, _, end = name.rpartition(".")
    if path == "norm_out.linear":
        return swapped(f"final_layer.adaLN_modulation.1.{end}")
    if path in OUTER:
        return Rows(f"{OUTER[path]}.{end}")
    found = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", path)
    if found is None:
        raise BadWeights(f"FLUX has no tensor {name}")
    block, layer = f"{'single' if found[1] else 'double'}_blocks.{found[2]}.", found[3]
    return _single(block, layer, end) if found[1] else _double(block, layer, end)


def _single(block: str, layer: str, end: str) -> Rows:
    if layer in SINGLE_FUSED:
        return Rows(f"{block}linear1.{end}", (SINGLE_FUSED[layer],), 7)
    if layer in SINGLE:
        return Rows(f"{block}{SINGLE[layer]}.{end}")
    return Rows(f"{block}norm.{'query' if layer.endswith('q') else 'key'}_norm.scale")


def _double(block: str, layer: str, end: str) -> Rows:
    if layer in DOUBLE:
        return Rows(f"{block}{DOUBLE[layer]}.{end}")
    last = layer.removeprefix("attn.")
    if last in NORMS:
        return Rows(f"{block}{NORMS[last]}.scale")
    where, part = FUSED[last]
    return Rows(f"{block}{where}.qkv.{end}", ((part, part + 1),), 3)


def config(tensors: RenamedTensors) -> dict[str, Any]:
    """Of diffusers' FluxTransformer2DModel. Raises BadWeights for a variant that is told another image."""
    width, channels = tensors.shape("x_embedder.weight")
    if channels in CHANNELS:
        raise BadWeights(f"{tensors.file.path} is FLUX.1 {CHANNELS[channels]}, which is told another image: not drawn here")
    (head,) = tensors.shape("transformer_blocks.0.attn.norm_q.weight")
    return {
        "in_channels": channels,
        "num_layers": tensors.levels("transformer_blocks.{}.norm1.linear.weight"),
        "num_single_layers": tensors.levels("single_transformer_blocks.{}.norm.linear.weight"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": tensors.shape("context_embedder.weight")[1],
        "pooled_projection_dim": tensors.shape("time_text_embed.text_embedder.linear_1.weight")[1],
        "guidance_embeds": tensors.has("time_text_embed.guidance_embedder.linear_1.weight"),
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


def scheduler(found: dict[str, Any]) -> dict[str, Any]:
    """dev's shift depends on the size; schnell, which hears no guidance, has none."""
    return {"shift": 3.0, "use_dynamic_shifting": True} if found["guidance_embeds"] else {"shift": 1.0}
