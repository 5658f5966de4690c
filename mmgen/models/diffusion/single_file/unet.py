"""A UNet of the original repositories (LDM, sgm) as diffusers' module: its shape from its tensors, its weights by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.adapters.layer_names import original_name
from mmgen.models.diffusion.single_file.kinds import UNET
from mmgen.models.diffusion.single_file.tensors import SingleFile, levels

HEADS, HEAD_WIDTH = 8, 64
"""Stable Diffusion 1.x has so many heads everywhere, the later ones have heads of that width."""
SIZES = {"Stable Diffusion 1.x": 64, "Stable Diffusion 2.x": 96, "Stable Diffusion XL": 128}
"""Latent places a side that they were trained at; version 2 at 64 where it predicts noise."""


def config(file: SingleFile, family: str, pooled: int = 0) -> dict[str, Any]:
    """Of diffusers' UNet2DConditionModel, from the tensors' shapes. `pooled`: numbers of the whole prompt's vector."""
    down = list(_down(file))
    channels = [one["channels"] for one in down]
    depths = [one["depth"] for one in down]
    attending = [depth > 0 for depth in depths]
    attention = next((one["attention"] for one in down if one["attention"]), "")
    if not attention:
        raise BadWeights(f"{file.path} has a UNet without attention to a prompt, which is not known here")
    context = file.shapes[f"{attention}transformer_blocks.0.attn2.to_k.weight"][1]
    middle = levels(file, f"{UNET}middle_block.1.transformer_blocks.{{}}.")
    found: dict[str, Any] = {
        "sample_size": SIZES[family],
        "in_channels": file.shapes[f"{UNET}input_blocks.0.0.weight"][1],
        "out_channels": file.shapes[f"{UNET}out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": down[0]["layers"],
        "down_block_types": ["CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attending],
        "up_block_types": ["CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(attending)],
        "transformer_layers_per_block": [depth or middle for depth in depths],
        "cross_attention_dim": context,
        "use_linear_projection": len(file.shapes[f"{attention}proj_in.weight"]) == 2,
        "attention_head_dim": HEADS if family == "Stable Diffusion 1.x" else [max(1, one // HEAD_WIDTH) for one in channels],
    }
    if f"{UNET}label_emb.0.0.weight" in file.shapes:
        width = file.shapes[f"{UNET}label_emb.0.0.weight"][1]
        found |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": (width - pooled) // 6,
            "projection_class_embeddings_input_dim": width,
        }
    return found


def _down(file: SingleFile) -> Iterator[dict[str, Any]]:
    """Each level of the way down: channels, layers, and where its attention is."""
    level: dict[str, Any] = {"layers": 0, "depth": 0, "attention": ""}
    for number in range(1, levels(file, f"{UNET}input_blocks.{{}}.")):
        place = f"{UNET}input_blocks.{number}."
        if f"{place}0.op.weight" in file.shapes:
            yield level
            level = {"layers": 0, "depth": 0, "attention": ""}
            continue
        if f"{place}0.out_layers.3.weight" not in file.shapes:
            raise BadWeights(f"{file.path} has a UNet of another shape than Stable Diffusion's, at {place}")
        level["channels"] = file.shapes[f"{place}0.out_layers.3.weight"][0]
        level["layers"] += 1
        if depth := levels(file, f"{place}1.transformer_blocks.{{}}."):
            level |= {"depth": depth, "attention": f"{place}1."}
    yield level


def load(file: SingleFile, family: str, pooled: int, device: str, dtype: torch.dtype) -> Any:
    """The module with its weights. Raises BadWeights for tensors that are missing, of another shape, or left over."""
    import diffusers

    with without_init():
        unet: Any = diffusers.UNet2DConditionModel(**config(file, family, pooled))
    attending = [number for number, block in enumerate(unet.up_blocks) if hasattr(block, "attentions")]
    layers = int(unet.config.layers_per_block)

    def source(name: str) -> str:
        path, _, end = name.rpartition(".")
        return f"{UNET}{original_name(path, layers, attending)}.{end}"

    fill(file, unet, source)
    file.check_all_read(UNET, family)
    return unet.requires_grad_(False).eval().to(device, dtype)


def fill(file: SingleFile, module: nn.Module, source: Any) -> None:
    """Every weight of a module from the tensor that `source` names; one of a 1 x 1 convolution may be a matrix here."""
    for name, weight in module.state_dict().items():
        tensor = file.get(source(name))
        if tensor.numel() != weight.numel() or tensor.shape[0] != weight.shape[0]:
            theirs, ours = (" x ".join(map(str, one.shape)) for one in (tensor, weight))
            raise BadWeights(f"{file.path}: {source(name)} is {theirs} and not {ours}, so it is of another model")
        weight.copy_(tensor.view(weight.shape))
