"""LoRA files into a denoiser's weights: diffusers', PEFT's and kohya's names. Reads safetensors only; knows no request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import pretrained, safetensors_io
from mmgen.models.diffusion.conditioning import ClipConditioner
from mmgen.models.diffusion.denoiser import DenoiserModel

PEFT = "base_model.model."
"""How PEFT's own `save_pretrained` begins every name."""


def apply(denoiser: DenoiserModel, path: Path, scale: float = 1.0) -> None:
    """Adds `scale * alpha / r * B A` to every weight the file names, for good; Hu et al. 2021 (LoRA), section 4.1.

    Fused weights cost nothing at a step, and several files may follow each other. `path`: a safetensors file, or the folder of
    one. Raises BadWeights for a file that is damaged, a pickle, or of another model.
    """
    from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader

    if not math.isfinite(scale):
        raise BadRequest(f"LoRA scale is {scale}; use a number, usually 0 to 1")
    if not hasattr(denoiser.unet, "load_lora_adapter"):
        raise BadRequest(f"{denoiser.name} has an unconditional UNet, which takes no LoRA; take a text-to-image model")
    path = _file(path)
    tensors, alphas, metadata = _read(path, denoiser.unet.config)
    parts: dict[str, Any] = {"unet": denoiser.unet}
    if isinstance(denoiser.text, ClipConditioner):
        parts |= dict(zip(("text_encoder", "text_encoder_2"), denoiser.text.encoders, strict=False))
    found = {name: module for name, module in parts.items() if any(key.startswith(f"{name}.") for key in tensors)}
    if not found:
        raise BadWeights(f"{path} names no layer of {denoiser.name}; take a LoRA made for this model")
    for name, module in found.items():
        try:
            with pretrained.quiet():
                if name == "unet":
                    Loader.load_lora_into_unet(tensors, alphas, module, adapter_name="lora", metadata=metadata)
                else:
                    Loader.load_lora_into_text_encoder(
                        tensors, alphas, module, prefix=name, adapter_name="lora", metadata=metadata
                    )
        except (RuntimeError, ValueError, KeyError) as why:
            _unwrap(module, merge=False)
            raise BadWeights(f"{path} does not fit {denoiser.name} ({pretrained.brief(why)}); take a LoRA made for it") from why
        _unwrap(module, merge=True, scale=scale)


def _file(path: Path) -> Path:
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            raise BadRequest(f"{path} holds {len(files)} safetensors files; name the LoRA file itself")
        return files[0]
    if path.suffix != ".safetensors":
        raise BadWeights(f"{path} is not a safetensors file; a pickle can run code when read, fetch the LoRA as safetensors")
    return path


def _read(path: Path, unet_config: Any) -> tuple[dict[str, Tensor], Mapping[str, float] | None, Any]:
    """Tensors under diffusers' names, the alphas where the names carried them, PEFT's settings where the header does."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader

    tensors = safetensors_io.read(path)  # says in one line what is wrong with the file
    if all(name.startswith(PEFT) for name in tensors):
        settings = safetensors_io.read_json(path.parent / "adapter_config.json")
        renamed = {f"unet.{name.removeprefix(PEFT)}": tensor for name, tensor in tensors.items()}
        alpha = settings.get("lora_alpha")
        modules = {name.rpartition(".lora_")[0] for name in renamed}
        return renamed, None if alpha is None else {f"{module}.alpha": float(alpha) for module in modules}, None
    try:
        with pretrained.quiet():
            found = Loader.lora_state_dict(
                str(path.parent),
                weight_name=path.name,
                use_safetensors=True,
                local_files_only=True,
                unet_config=unet_config,
                return_lora_metadata=True,
            )
    except Exception as why:  # the conversion of foreign names raises whatever it stumbles over
        raise BadWeights(f"{path} is no LoRA of a known kind ({pretrained.brief(why)})") from why
    return found  # type: ignore[no-any-return]


def _unwrap(module: Any, *, merge: bool, scale: float = 1.0) -> None:
    """Takes PEFT's layers off again, their adapter merged into what they wrap or thrown away."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(module.named_modules()):
        if isinstance(layer, LoraLayer):
            if merge:
                layer.scale_layer(scale)
                layer.merge()
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, layer.get_base_layer())
    for trace in ("peft_config", "_hf_peft_config_loaded"):
        if trace in vars(module):
            delattr(module, trace)
