"""What a single file is, by the names of its tensors. Opens none of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import some
from mmgen.models.diffusion.single_file.tensors import SingleFile

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT = {
    "Stable Diffusion 1.x": ("cond_stage_model.transformer.",),
    "Stable Diffusion 2.x": ("cond_stage_model.model.",),
    "Stable Diffusion XL": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
}
"""The families that run, and where their text encoders' tensors are."""
TRANSFORMERS = ("Stable Diffusion 3", "FLUX.1", "FLUX.2 dev", "FLUX.2 klein", "Z-Image", "Qwen-Image")
"""Families of single_file/transformers."""
OTHERS = {
    r"(^|\.)lora_|\.lora[._]|hada_w|lokr_w|oft_blocks": "a LoRA; give it with --lora",
    r"^(control_model\.|controlnet_|input_hint_block|zero_convs)": "a ControlNet, which is not drawn with alone",
    r"double_blocks\.|single_blocks\.": "a relative of FLUX that is not known here",
    r"joint_blocks\.": "a relative of Stable Diffusion 3 that is not known here",
    r"time_stack|temporal_transformer|motion_modules": "a video model, which does not run here",
    r"^conditioner\.embedders\.0\.model\.": "the refiner of Stable Diffusion XL, which does not run here",
    r"^(emb_params|clip_[lg])$": "textual inversion; give it with --embedding",
    r"^(first_stage_model\.)?(encoder|decoder)\.(down|up|mid)": "an autoencoder; give it with --vae beside a model",
    r"^(model|params_ema)\.\d|rdb1|^body\.|^conv_first": "an upscaler",
    r"^(model\.)?layers\.\d+\.|embed_tokens|^token_embd": "a language model; give its folder",
    r"^(text_model|encoder\.layers|encoder\.block|transformer\.text_model)": "a text encoder alone",
    r"^down_blocks\.|^mid_block\.": "a UNet in diffusers' format; give the whole model's folder",
}
"""Words of names, and what a file with them is."""


def family(file: SingleFile) -> str:
    """One of `TEXT`. Raises BadWeights for another kind of file, with what it looks like."""
    if file.has(UNET):
        for name, prefixes in TEXT.items():
            if all(file.has(prefix) for prefix in prefixes):
                return name
        if file.has(f"{UNET}input_blocks.0.0.") and not looks_like(file.shapes, ("FLUX", "Diffusion 3", "video", "refiner")):
            raise BadWeights(f"{file.path} has a UNet and no text encoder that is known here; take a file with both")
    raise unknown(file)


def unknown(file: SingleFile) -> BadWeights:
    """The error for a file that is none of ours, with what it looks like."""
    told = looks_like(file.shapes) or f"no model that is known here: it holds {some(sorted(file.shapes), 3)}"
    return BadWeights(f"{file.path} looks like {told}; single files of {', '.join((*TEXT, *TRANSFORMERS))} are read")


def looks_like(names: Iterable[str], among: tuple[str, ...] = ()) -> str:
    """What a file with these tensors is, in words; empty where it is unknown. `among`: only kinds that say one of these."""
    names = list(names)
    for words, kind in OTHERS.items():
        if (not among or any(one in kind for one in among)) and any(re.search(words, name) for name in names):
            return kind
    return ""
