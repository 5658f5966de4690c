"""Families of diffusion transformers whose files are read: what tells one, its parts, and what it needs beside the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.single_file.transformers import flux, flux2, qwen_image, sd3, z_image
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
    options: Callable[[Path], dict[str, Any]] = lambda path: {}  # of the pipeline, from the file's name
    variants: Mapping[str, str] = field(
        default_factory=dict
    )  # a word of the file's name -> another pipeline of the same network
    blocks: str = ""  # the beginning of numbered blocks, if the renaming depends on their number

    def pipeline_of(self, path: Path) -> str:
        """Of diffusers; networks of one shape do not tell what they were trained for, their files' names do."""
        return next((made for word, made in self.variants.items() if word in path.name.lower()), self.pipeline)

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
        variants={"kontext": "FluxKontextPipeline"},
    ),
    TransformerFamily(
        "FLUX.2 dev",
        "Flux2Pipeline",
        "Flux2Transformer2DModel",
        ("single_stream_modulation.lin.weight", "guidance_in.in_layer.weight"),
        ("single_stream_modulation.linear.weight", "time_guidance_embed.guidance_embedder.linear_1.weight"),
        lambda blocks: flux2.rows,
        flux2.config,
        flux2.scheduler,
        None,
        (EncoderPart("text_encoder", "tokenizer", "llm", "Mistral Small 3 (a folder)"),),
    ),
    TransformerFamily(
        "FLUX.2 klein",
        "Flux2KleinPipeline",
        "Flux2Transformer2DModel",
        ("single_stream_modulation.lin.weight", "double_stream_modulation_img.lin.weight"),
        ("single_stream_modulation.linear.weight", "double_stream_modulation_img.linear.weight"),
        lambda blocks: flux2.rows,
        flux2.config,
        flux2.scheduler,
        None,
        (EncoderPart("text_encoder", "tokenizer", "llm", "Qwen3 (a folder)"),),
        options=lambda path: {"is_distilled": "base" not in path.name.lower()},
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
        blocks="joint_blocks",
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
