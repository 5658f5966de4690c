"""Tiny random Stable Diffusion models in one file, as the original repositories write them, and the parts they are made of.

Written by names that stand here, not by those that are tested.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

TOKENS = 500  # fewer than the tokenizer has: these files are read, and draw from no words
LEVELS = {1: ("CrossAttn", ""), 2: ("CrossAttn", ""), 3: ("", "CrossAttn")}  # 3: XL


def unet(version: int) -> UNet2DConditionModel:
    """Two levels of one layer."""
    down, channels = LEVELS[version], (32, 64)
    more: dict[str, Any] = {} if version < 3 else {
        "addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 64 + 48,
        "transformer_layers_per_block": (1, 2),
    }  # fmt: skip
    return UNet2DConditionModel(
        sample_size={1: 64, 2: 96, 3: 128}[version],
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=[f"{kind}DownBlock2D" if kind else "DownBlock2D" for kind in down],
        up_block_types=[f"{kind}UpBlock2D" if kind else "UpBlock2D" for kind in reversed(down)],
        cross_attention_dim=64 if version < 3 else 128,
        attention_head_dim=8 if version == 1 else [1, 1],
        use_linear_projection=version > 1,
        **more,
    ).eval()  # fmt: skip


def vae(scale: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        scaling_factor=scale,
        layers_per_block=1,
        sample_size=512,
    ).eval()


def clip(layers: int, activation: str = "quick_gelu", projected: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=TOKENS, hidden_size=64, intermediate_size=32, num_hidden_layers=layers, num_attention_heads=1,
        max_position_embeddings=77, hidden_act=activation, projection_dim=64,
        bos_token_id=TOKENS - 2, eos_token_id=TOKENS - 1, pad_token_id=TOKENS - 1,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def parts(version: int) -> dict[str, Any]:
    torch.manual_seed(version)
    made: dict[str, Any] = {"unet": unet(version), "vae": vae(0.13025 if version == 3 else 0.18215)}
    made["text_encoder"] = clip(2, "gelu" if version == 2 else "quick_gelu")
    if version == 3:
        made["text_encoder_2"] = clip(2, "gelu", projected=True)
    return made


def tensors(version: int, made: dict[str, Any]) -> dict[str, Tensor]:
    """All of a file."""
    found = {f"model.diffusion_model.{unet_name(name, version == 3)}": one for name, one in made["unet"].state_dict().items()}
    for name, one in made["vae"].state_dict().items():
        theirs = vae_name(name)
        square = ".attn_1." in theirs and one.dim() == 2
        found[f"first_stage_model.{theirs}"] = one[..., None, None] if square else one
    if version == 2:
        found |= open_clip(made["text_encoder"], "cond_stage_model.model.")
        last = "cond_stage_model.model.transformer.resblocks."  # the layer that version 2 does not use
        found |= {name.replace(f"{last}1.", f"{last}2."): one for name, one in found.items() if name.startswith(f"{last}1.")}
        return {name: one.contiguous().clone() for name, one in found.items()}
    prefix = "cond_stage_model.transformer." if version == 1 else "conditioner.embedders.0.transformer."
    for name, one in made["text_encoder"].state_dict().items():
        found[f"{prefix}text_model.{name.removeprefix('text_model.')}"] = one
    if version == 3:
        found |= open_clip(made["text_encoder_2"], "conditioner.embedders.1.model.")
    return {name: one.contiguous().clone() for name, one in found.items()}


def write(path: Path, version: int, dtype: torch.dtype = torch.float32, **more: Any) -> dict[str, Any]:
    """The file; returns its parts, rounded as the file is. `more`: further tensors, None leaves those out that begin so."""
    made = parts(version)
    for part in made.values():
        part.load_state_dict({name: one.to(dtype).to(one.dtype) for name, one in part.state_dict().items()})
    file = {name: one.to(dtype) for name, one in tensors(version, made).items()}
    for begin, value in more.items():
        file = {name: one for name, one in file.items() if not name.startswith(begin)}
        file |= {} if value is None else {begin: value}
    save_file(file, path)
    return made


AROUND = {
    "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0",
    "conv_out": "out.2",
}  # fmt: skip


def unet_name(name: str, attending: bool = True) -> str:
    """Of two levels of one layer: 0 conv_in, 1 layer, 2 downsampling, 3 layer; 0 and 1, 2 and 3 on the way up.

    attending: whether the lower level has attention, behind which its upsampling stands then.
    """
    for ours, theirs in AROUND.items():
        if name.startswith(f"{ours}."):
            return theirs + name[len(ours) :]
    resnet = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
              "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}  # fmt: skip
    place = {
        "down_blocks.0.resnets.0": "input_blocks.1.0", "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op", "down_blocks.1.resnets.0": "input_blocks.3.0",
        "down_blocks.1.attentions.0": "input_blocks.3.1", "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
        "up_blocks.0.resnets.0": "output_blocks.0.0", "up_blocks.0.attentions.0": "output_blocks.0.1",
        "up_blocks.0.resnets.1": "output_blocks.1.0", "up_blocks.0.attentions.1": "output_blocks.1.1",
        "up_blocks.1.resnets.0": "output_blocks.2.0", "up_blocks.1.attentions.0": "output_blocks.2.1",
        "up_blocks.1.resnets.1": "output_blocks.3.0", "up_blocks.1.attentions.1": "output_blocks.3.1",
    }  # fmt: skip
    place["up_blocks.0.upsamplers.0.conv"] = f"output_blocks.1.{2 if attending else 1}.conv"
    for ours, theirs in place.items():
        if name.startswith(f"{ours}."):
            rest = name[len(ours) + 1 :]
            inner, _, end = rest.rpartition(".")
            return f"{theirs}.{resnet[inner]}.{end}" if ".resnets." in f"{ours}." else f"{theirs}.{rest}"
    raise KeyError(name)


def vae_name(name: str) -> str:
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{1 - int(m[1])}.block.{m[2]}", name)
    name = name.replace("down_blocks.0.downsamplers.0", "down.0.downsample").replace(
        "up_blocks.0.upsamplers.0", "up.1.upsample"
    )
    name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    for ours, theirs in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"mid_block.attentions.0.{ours}", f"mid.attn_1.{theirs}")
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def open_clip(module: Any, prefix: str) -> dict[str, Tensor]:
    state = {name.removeprefix("text_model."): one for name, one in module.state_dict().items()}
    found = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
    }
    if "text_projection.weight" in state:
        found["text_projection"] = state["text_projection.weight"].T
    for n in range(module.config.num_hidden_layers):
        layer, block = f"encoder.layers.{n}.", f"transformer.resblocks.{n}."
        for end in ("weight", "bias"):
            found[f"{block}attn.in_proj_{end}"] = torch.cat([state[f"{layer}self_attn.{one}_proj.{end}"] for one in "qkv"])
            for ours, theirs in (("self_attn.out_proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
                                 ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2")):  # fmt: skip
                found[f"{block}{theirs}.{end}"] = state[f"{layer}{ours}.{end}"]
    return {f"{prefix}{name}": one for name, one in found.items()}
