"""Names that LoRA files give to a network's layers: diffusers', PEFT's, kohya's, and those of the original repositories.

Names are looked up in tables made from the network's own layers, never rewritten by pattern: no name means two layers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from torch import nn

KOHYA = {
    "unet": ("lora_unet_", "oft_unet_", "lycoris_unet_", "lycoris_"),
    "text_encoder": ("lora_te_", "lora_te1_", "lycoris_te_"),
    "text_encoder_2": ("lora_te2_",),
}
"""How a flattened name begins, by the network that it is of."""
DOTTED = {
    "unet": ("unet.", "base_model.model.", "diffusion_model.", "model.diffusion_model.", ""),
    "text_encoder": (
        "text_encoder.", "te1.", "cond_stage_model.transformer.", "conditioner.embedders.0.transformer.", "base_model.model.",
    ),
    "text_encoder_2": ("text_encoder_2.", "te2."),
}  # fmt: skip
"""How a name with dots begins."""
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
AROUND = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
PROCESSORS = {
    ".to_q": ".processor.to_q_lora", ".to_k": ".processor.to_k_lora", ".to_v": ".processor.to_v_lora",
    ".to_out.0": ".processor.to_out_lora", ".q_proj": ".to_q_lora", ".k_proj": ".to_k_lora", ".v_proj": ".to_v_lora",
    ".out_proj": ".to_out_lora",
}  # fmt: skip
"""Ends of names as diffusers wrote them before it used PEFT."""
PLACE = re.compile(r"(down_blocks|up_blocks)\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
MIDDLE = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")


def layers_by_name(networks: Mapping[str, nn.Module]) -> dict[str, tuple[str, str]]:
    """Every name that a file may give a layer -> (key in `networks`, the layer's path there).

    networks: by diffusers' names of a pipeline's parts: unet, text_encoder, text_encoder_2.
    """
    found: dict[str, tuple[str, str]] = {}
    for network, module in networks.items():
        for path, layer in module.named_modules():
            if path and getattr(layer, "weight", None) is not None:
                for name in _names(network, module, path):
                    found.setdefault(name, (network, path))
    return found


def _names(network: str, module: nn.Module, path: str) -> Iterator[str]:
    plain = [path]
    if network == "unet":
        original = original_name(path, _layers_per_block(module), _attending(module))
        plain += [original] if original else []
    else:  # transformers wraps CLIP's text model in a module of that name, or does not
        plain.append(path.removeprefix("text_model.") if path.startswith("text_model.") else f"text_model.{path}")
    for one in plain:
        dotted = [one, *(one.removesuffix(end) + old for end, old in PROCESSORS.items() if one.endswith(end))]
        yield from (prefix + name for prefix in DOTTED.get(network, (f"{network}.",)) for name in dotted)
        yield from (prefix + one.replace(".", "_") for prefix in KOHYA.get(network, ()))


def _layers_per_block(unet: nn.Module) -> int:
    layers = getattr(getattr(unet, "config", None), "layers_per_block", 2)
    return int(layers if isinstance(layers, int) else layers[0])


def _attending(unet: nn.Module) -> frozenset[int]:
    blocks = getattr(unet, "up_blocks", ())
    return frozenset(number for number, block in enumerate(blocks) if hasattr(block, "attentions"))


def original_name(path: str, layers: int, attending: Collection[int] = ()) -> str:
    """A layer of diffusers' UNet as the original repositories (LDM, sgm) call it; empty where they have none.

    layers: per block, on the way down; there is one more on the way up.
    attending: numbers of the blocks with attention, on the way up.
    """
    for ours, theirs in AROUND.items():
        if path == ours:
            return theirs
    if match := MIDDLE.fullmatch(path):
        kind, number, rest = match[1], int(match[2]), match[3]
        return f"middle_block.{1 if kind == 'attentions' else 2 * number}.{_inner(kind, rest)}"
    if not (match := PLACE.fullmatch(path)):
        return ""
    way, block, kind, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if way == "down_blocks":
        at = block * (layers + 1) + (layers if kind == "downsamplers" else number) + 1
        return f"input_blocks.{at}.{'1' if kind == 'attentions' else '0'}.{_inner(kind, rest)}"
    if kind == "upsamplers":  # stands behind the attention, or where there is none right behind the residual layer
        return f"output_blocks.{block * (layers + 1) + layers}.{2 if block in attending else 1}.{rest}"
    return f"output_blocks.{block * (layers + 1) + number}.{'1' if kind == 'attentions' else '0'}.{_inner(kind, rest)}"


def _inner(kind: str, rest: str) -> str:
    if kind == "resnets":
        return RESNET.get(rest, rest)
    return {"conv": "op"}.get(rest, rest) if kind == "downsamplers" else rest
