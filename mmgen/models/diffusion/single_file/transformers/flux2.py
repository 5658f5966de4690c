"""FLUX.2 as Black Forest Labs name its tensors: dev, whose network is told the guidance scale, and klein."""

from __future__ import annotations

import re
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors, Rows, swapped

OUTER = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
    "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
    "single_stream_modulation.linear": "single_stream_modulation.lin",
    "proj_out": "final_layer.linear",
}
DOUBLE = {
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.to_out.0": "img_attn.proj",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
    "attn.to_add_out": "txt_attn.proj",
    "ff.linear_in": "img_mlp.0",
    "ff.linear_out": "img_mlp.2",
    "ff_context.linear_in": "txt_mlp.0",
    "ff_context.linear_out": "txt_mlp.2",
}
SINGLE = {
    "attn.to_qkv_mlp_proj": "linear1",
    "attn.to_out": "linear2",
    "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm",
}


def rows(name: str) -> Rows:
    path, _, end = name.rpartition(".")
    if path == "norm_out.linear":
        return swapped(f"final_layer.adaLN_modulation.1.{end}")
    if path in OUTER:
        return Rows(f"{OUTER[path]}.{end}")
    found = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", path)
    if found is None:
        raise BadWeights(f"FLUX.2 has no tensor {name}")
    block, layer = f"{'single' if found[1] else 'double'}_blocks.{found[2]}.", found[3]
    if (same := (SINGLE if found[1] else DOUBLE).get(layer)) is not None:
        return Rows(f"{block}{same}.{'scale' if '.norm_' in layer else end}")
    part = layer.removeprefix("attn.")
    side = "txt" if part.startswith("add_") else "img"
    number = "qkv".index(part.removeprefix("add_").removeprefix("to_")[0])
    return Rows(f"{block}{side}_attn.qkv.{end}", ((number, number + 1),), 3)


def config(tensors: RenamedTensors) -> dict[str, Any]:
    """Of diffusers' Flux2Transformer2DModel."""
    width, channels = tensors.shape("x_embedder.weight")
    (head,) = tensors.shape("transformer_blocks.0.attn.norm_q.weight")
    return {
        "in_channels": channels,
        "num_layers": tensors.levels("transformer_blocks.{}.attn.norm_q.weight"),
        "num_single_layers": tensors.levels("single_transformer_blocks.{}.attn.norm_q.weight"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": tensors.shape("context_embedder.weight")[1],
        "timestep_guidance_channels": tensors.shape("time_guidance_embed.timestep_embedder.linear_1.weight")[1],
        "mlp_ratio": tensors.shape("transformer_blocks.0.ff.linear_out.weight")[1] / width,
        "axes_dims_rope": (head // 4,) * 4,
        "guidance_embeds": tensors.has("time_guidance_embed.guidance_embedder.linear_1.weight"),
    }


def scheduler(found: dict[str, Any]) -> dict[str, Any]:
    return {"shift": 3.0, "use_dynamic_shifting": True}
