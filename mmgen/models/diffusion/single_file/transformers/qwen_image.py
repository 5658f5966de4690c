"""Qwen-Image, whose files have diffusers' own names."""

from __future__ import annotations

from typing import Any

from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors


def config(tensors: RenamedTensors) -> dict[str, Any]:
    """Of diffusers' QwenImageTransformer2DModel."""
    width, channels = tensors.shape("img_in.weight")
    (head,) = tensors.shape("transformer_blocks.0.attn.norm_q.weight")
    return {
        "in_channels": channels,
        "out_channels": tensors.shape("proj_out.weight")[0] // 4,
        "num_layers": tensors.levels("transformer_blocks.{}.attn.norm_q.weight"),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": tensors.shape("txt_in.weight")[1],
        "axes_dims_rope": (head // 8, head * 7 // 16, head * 7 // 16),
    }


def scheduler(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "use_dynamic_shifting": True,
        "base_shift": 0.5,
        "max_shift": 0.9,
        "base_image_seq_len": 256,
        "max_image_seq_len": 8192,
        "shift_terminal": 0.02,
        "time_shift_type": "exponential",
    }
