"""Families of diffusion transformers whose files are read: what tells one, its parts, and what it needs beside the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers import flux, qwen_image, sd3, z_image
from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors, Renaming, same

PREFIXES = ("model.diffusion_model.", "", "diffusion_model.", "transformer.")
"""What stands before a network's names: in whole models, and in files of it alone."""
FLUX_VAE = {"scaling_factor": 0.3611, "shift_factor": 0.1159}


@dataclass(frozen=True)
class EncoderPart:
    """A text encoder of a pipeline."""

    part: str  # as the pipeline calls it
    tokenizer: str
    kind: str  # "clip_l", "clip_g", "t5" or "llm": what it is
    words: str  # how people call it
    needed: bool = True


@dataclass(frozen=True)
class TransformerFamily:
    """What is known of a family without its weights."""

    name: str
    pipeline: str  # diffusers' classes
    network: str
    marks: tuple[str, ...]  # tensors that only its original files have
    own_marks: tuple[str, ...]  # tensors that only its files with diffusers' names have
    renaming: Callable[[int], Renaming]  # from the number of blocks
    config: Callable[[RenamedTensors], dict[str, Any]]
    scheduler: Callable[[dict[str, Any]], dict[str, Any]]  # from the network's configuration
    vae: Mapping[str, float] | None  # scales of an AutoencoderKL; None: another class, which a folder tells
    texts: tuple[EncoderPart, ...]
    blocks: str = ""  # the beginning of numbered blocks, if the renaming depends on their number

    def opened(self, file: SingleFile, prefix: str) -> RenamedTensors:
        own = all(prefix + mark in file.shapes for mark in self.own_marks)
        count = 0
        while self.blocks and file.has(f"{prefix}{self.blocks}.{count}."):
            count += 1
        return RenamedTensors(file, prefix, same if own else self.renaming(count))


CLIP_L = EncoderPart("text_encoder", "tokenizer", "clip_l", "CLIP-L (clip_l.safetensors)")
FAMILIES = (
    TransformerFamily(
        "FLUX.1",
        "FluxPipeline",
        "FluxTransformer2DModel",
        ("double_blocks.0.img_attn.qkv.weight", "vector_in.in_layer.weight"),
        ("single_transformer_blocks.0.proj_mlp.weight", "time_text_embed.text_embedder.linear_1.weight"),
        lambda blocks: flux.rows,
        flux.config,
        flux.scheduler,
        FLUX_VAE,
        (CLIP_L, EncoderPart("text_encoder_2", "tokenizer_2", "t5", "T5-XXL (t5xxl_fp16.safetensors)")),
    ),
    TransformerFamily(
        "Stable Diffusion 3",
        "StableDiffusion3Pipeline",
        "SD3Transformer2DModel",
        ("joint_blocks.0.x_block.attn.qkv.weight",),
        ("transformer_blocks.0.norm1_context.linear.weight", "pos_embed.proj.weight"),
        sd3.renaming,
        sd3.config,
        sd3.scheduler,
        {"scaling_factor": 1.5305, "shift_factor": 0.0609},
        (
            CLIP_L,
            EncoderPart("text_encoder_2", "tokenizer_2", "clip_g", "CLIP-G (clip_g.safetensors)"),
            EncoderPart("text_encoder_3", "tokenizer_3", "t5", "T5-XXL (t5xxl_fp16.safetensors)", needed=False),
        ),
        "joint_blocks",
    ),
    TransformerFamily(
        "Z-Image",
        "ZImagePipeline",
        "ZImageTransformer2DModel",
        ("x_pad_token", "noise_refiner.0.attention.qkv.weight"),
        ("x_pad_token", "noise_refiner.0.attention.to_q.weight"),
        lambda blocks: z_image.rows,
        z_image.config,
        z_image.scheduler,
        FLUX_VAE,
        (EncoderPart("text_encoder", "tokenizer", "llm", "Qwen3 4B (a folder)"),),
    ),
    TransformerFamily(
        "Qwen-Image",
        "QwenImagePipeline",
        "QwenImageTransformer2DModel",
        ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"),
        ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"),
        lambda blocks: same,
        qwen_image.config,
        qwen_image.scheduler,
        None,
        (EncoderPart("text_encoder", "tokenizer", "llm", "Qwen2.5-VL 7B (a folder)"),),
    ),
)


def find(file: SingleFile) -> tuple[TransformerFamily, str] | None:
    """The family of a file and what stands before its network's names; None for a file of another kind."""
    for family in FAMILIES:
        for prefix in PREFIXES:
            for marks in (family.marks, family.own_marks):
                if all(prefix + mark in file.shapes for mark in marks):
                    return family, prefix
    return None
