"""Which kind of control model a folder or file is, and whether it is one for a given UNet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.diffusion.adapters.adapter import WIDTHS
from mmgen.models.diffusion.control import controlnet, dit_controlnet, ip_adapter, t2i_adapter
from mmgen.models.diffusion.control.row_control import ControlModel
from mmgen.models.diffusion.single_file import kinds
from mmgen.models.diffusion.single_file.tensors import SingleFile

CLASSES = ("ControlNetModel", "T2IAdapter")
GIVE = "a ControlNet, T2I-Adapter or IP-Adapter"
ELSEWHERE = {
    "ControlNetUnionModel": "a ControlNet of many kinds in one (union), which is not read here",
    "MultiControlNetUnionModel": "several ControlNets of many kinds in one (union), which are not read here",
    "ControlNetXSAdapter": "a ControlNet-XS, which is not read here",
    "SparseControlNetModel": "a ControlNet for videos, which is not read here",
    "SD3ControlNetModel": "a ControlNet for Stable Diffusion 3, not for a UNet",
    "FluxControlNetModel": "a ControlNet for FLUX, not for a UNet",
    "QwenImageControlNetModel": "a ControlNet for Qwen-Image, not for a UNet",
}
UNREAD = {
    "task_embedding": "a ControlNet of many kinds in one (union), which is not read here",
    "control_add_embedding.": "a ControlNet of many kinds in one (union), which is not read here",
    "lora_controlnet": "a Control-LoRA, which is not read here",
    "lllite_": "a ControlNet-LLLite, which is not read here",
    "body.0.": "a T2I-Adapter in one file; give its folder in diffusers' format instead",
    "adapter.body.0.": "a T2I-Adapter without its config.json; give its folder in diffusers' format instead",
}
"""Beginnings of tensors' names that only such files have."""
INSTEAD = "take a ControlNet made for {}"


def load(path: Path, base: Any, device: str = "cpu", name: str = "") -> ControlModel:
    """A control model for the denoiser `base`, in its dtype.

    name: what errors call it.
    Raises BadRequest for a denoiser that none can control, BadWeights for another kind of model, one for another UNet, and
    weights that are damaged.
    """
    if hasattr(base, "family"):
        transformer = dit_controlnet.load(path, base, device, name)
        _check_numbers(transformer.modules(), path)
        return transformer
    unet: Any = getattr(base, "unet", None)
    if type(unet).__name__ != "UNet2DConditionModel":
        raise BadRequest(f"{base.name} has no UNet of Stable Diffusion's kind, so {name} cannot control it; leave it out")
    made: ControlModel
    if (file := ip_adapter.file_in(path)) is not None:
        made = ip_adapter.load(file, base, device, name)
    elif kind_of(path) == "T2IAdapter":
        made = t2i_adapter.load(path, base, device, name)
    else:
        made = _controlnet(path, base, device, name)
    _check_numbers(made.modules(), path)
    return made


def _controlnet(path: Path, base: Any, device: str, name: str) -> controlnet.ControlNet:
    made = controlnet.load(path, base.unet, device, base.dtype)
    check_shape(made.network.config, base.unet.config, base, name)
    reduced = 2 ** (len(made.network.config.conditioning_embedding_out_channels) - 1)
    if reduced != base.factor:
        raise BadWeights(
            f"{name} reduces its image {reduced} times, {base.name}'s latents are {base.factor} times smaller; "
            + INSTEAD.format(base.name)
        )
    return made


def kind_of(path: Path) -> str:
    """One of `CLASSES`. Raises BadWeights for what is none, with what it looks like."""
    if path.is_dir():
        found = pretrained.class_name(path)
        if found not in CLASSES:
            raise BadWeights(f"{path} is {ELSEWHERE.get(found, f'of class {found}')}; give {GIVE}")
        return found
    file = SingleFile(path)
    for beginning, words in UNREAD.items():
        if file.has(beginning):
            raise BadWeights(f"{path} is {words}; give {GIVE}")
    if file.has(f"{controlnet.ORIGINAL}input_hint_block.") or file.has("controlnet_cond_embedding."):
        return CLASSES[0]
    told = kinds.looks_like(file.shapes) or f"no model that is known here: it holds {', '.join(sorted(file.shapes)[:3])}"
    raise BadWeights(f"{path} looks like {told}; give {GIVE}")


def check_shape(config: Mapping[str, Any], unet: Mapping[str, Any], base: Any, name: str) -> None:
    """Raises BadWeights where a ControlNet's configuration is not of that UNet."""
    theirs, ours = config["cross_attention_dim"], unet["cross_attention_dim"]
    if theirs != ours:
        family = f" ({WIDTHS[theirs]})" if theirs in WIDTHS else ""
        raise BadWeights(
            f"{name} reads prompts of {theirs} numbers a token{family}, {base.name} has {ours}; {INSTEAD.format(base.name)}"
        )
    wanted = {key: unet[key] for key in ("block_out_channels", "layers_per_block", "addition_embed_type")}
    for key, one in (wanted | {"in_channels": base.images.channels}).items():
        if _plain(config[key]) != _plain(one):
            raise BadWeights(f"{name} has {key} {config[key]}, {base.name} {one}; {INSTEAD.format(base.name)}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _check_numbers(modules: Iterable[torch.nn.Module], path: Path) -> None:
    for module in modules:
        for name, weight in module.named_parameters():
            if not bool(torch.isfinite(weight).all()):
                raise BadWeights(f"{path} holds numbers that are none in {name}; the file is damaged, fetch it again")
