"""ControlNets of diffusion transformers, Stable Diffusion 3's and FLUX.1's: told what the transformer is told, and an image.

Their outputs are added behind the transformer's blocks. A row's part does not depend on the other rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.image_params import ControlInput
from mmgen.models.checkpoints import pretrained
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.diffusion.control.row_control import PreparedControl, RowControl
from mmgen.models.diffusion.dit.family import pack

BY_ROW = ("hidden_states", "timestep", "encoder_hidden_states", "pooled_projections", "guidance")
"""Of the transformer's arguments those that have a row for each image ..."""
SHARED = ("img_ids", "txt_ids")
"""... and those that are common to all."""
MADE_FOR = {"SD3ControlNetModel": "SD3Transformer2DModel", "FluxControlNetModel": "FluxTransformer2DModel"}
"""Which transformer a ControlNet of that class is for."""
SAME = ("in_channels", "joint_attention_dim", "pooled_projection_dim", "attention_head_dim", "num_attention_heads")
"""What both configurations agree on; None of a ControlNet: it does not read that."""


class DiTControlNet:
    """A network beside the transformer; its image is seen by the autoencoder, once."""

    kind, spatial = "ControlNet", True

    def __init__(self, network: Any, base: Any) -> None:
        self.network: Any = hold(network)
        self.base = base
        self.of_flux = type(network).__name__ == "FluxControlNetModel"

    @torch.inference_mode()
    def prepare(self, given: ControlInput) -> PreparedControl:
        """(3, H, W) in [0, 1] -> its latents, for FLUX as tokens."""
        assert given.pixels is not None
        images = self.base.images
        latents = images.encode((2 * given.pixels - 1)[None])
        if not self.of_flux and self.network.config.force_zeros_for_pooled_projection:  # as InstantX trained theirs: unshifted
            latents = images.unscaled(latents) * images.scale
        return PreparedControl([(pack(latents) if self.of_flux else latents)[0].to(self.base.device, self.base.dtype)])

    def modules(self) -> list[nn.Module]:
        return [self.network]

    def residuals(self, told: Mapping[str, Any], rows: Sequence[int], seen: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """What is added to the transformer's states behind each of its blocks, by the transformer's names for it.

        Args:
            told: the transformer's arguments.
            rows: which of its rows.
            seen: of each, what `prepare` made of its image.
        """
        own = {name: told[name][list(rows)] for name in BY_ROW if isinstance(told.get(name), Tensor)}
        own |= {name: told[name] for name in SHARED if name in told}
        own |= {"controlnet_cond": torch.stack(list(seen)), "return_dict": False}
        config = self.network.config
        if self.of_flux:
            if not config.guidance_embeds:
                own["guidance"] = None
            doubled, single = self.network(**own)
            found = {"controlnet_block_samples": doubled, "controlnet_single_block_samples": single}
        else:
            if config.force_zeros_for_pooled_projection:
                own["pooled_projections"] = torch.zeros_like(own["pooled_projections"])
            if config.joint_attention_dim is None:
                own["encoder_hidden_states"] = None
            found = {"block_controlnet_hidden_states": self.network(**own)[0]}
        return {name: self._of_every_block(name, parts) for name, parts in found.items() if parts}

    def _of_every_block(self, name: str, parts: Sequence[Tensor]) -> list[Tensor]:
        """A ControlNet has fewer blocks than its transformer, so each of its outputs serves neighbours."""
        network = self.base.network
        blocks = len(network.single_transformer_blocks if "single" in name else network.transformer_blocks)
        each: float = blocks / len(parts)
        if self.of_flux:
            each = math.ceil(each)
        return [parts[int(block / each)] for block in range(blocks)]


@contextmanager
def controlled(network: nn.Module, controls: Sequence[Sequence[RowControl]]) -> Iterator[None]:
    """Inside, row n of every pass of the transformer is changed by `controls[n]`."""
    if not any(controls):
        yield
        return

    def more(_: nn.Module, given: tuple[Any, ...], told: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return given, told | _summed(told, controls)

    hook = network.register_forward_pre_hook(more, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _summed(told: Mapping[str, Any], controls: Sequence[Sequence[RowControl]]) -> dict[str, list[Tensor]]:
    """Of all rows, scaled and in the order of each row's controls; zeros where a row has none."""
    asked: dict[int, list[tuple[int, int]]] = {}
    for row, own in enumerate(controls):
        for number, one in enumerate(own):
            asked.setdefault(id(one.model), []).append((row, number))
    parts: dict[tuple[int, int], dict[str, list[Tensor]]] = {}
    for places in asked.values():
        used = [controls[row][number] for row, number in places]
        made = used[0].model.residuals(told, [row for row, _ in places], [one.tensors[0] for one in used])
        for n, place in enumerate(places):
            parts[place] = {name: [block[n] * used[n].scale for block in blocks] for name, blocks in made.items()}
    found: dict[str, list[Tensor]] = {}
    for (row, _), own_parts in sorted(parts.items(), key=lambda item: item[0]):
        for name, blocks in own_parts.items():
            if name not in found:
                found[name] = [block.new_zeros(len(controls), *block.shape) for block in blocks]
            for total, block in zip(found[name], blocks, strict=True):
                total[row] += block
    return found


def load(path: Path, base: Any, device: str, name: str) -> DiTControlNet:
    """From a folder of diffusers, for the transformer of `base`. Raises BadWeights for one of another model."""
    import diffusers

    found = pretrained.class_name(path) if path.is_dir() else ""
    if MADE_FOR.get(found) != type(base.network).__name__ or base.family.edits:
        what = f"is of class {found}" if found else "is a single file"
        raise BadWeights(
            f"{name} {what}; {base.name} is controlled by ControlNets of Stable Diffusion 3 and FLUX.1 alone, each by its own, "
            "as folders of diffusers"
        )
    with warnings.catch_warnings():  # diffusers' ControlNet of FLUX takes a name of diffusers that goes away
        warnings.filterwarnings("ignore", "`FluxPosEmbed` is deprecated", FutureWarning)
        network: Any = pretrained.load(getattr(diffusers, found), path, device, base.dtype)
    _check(network.config, base, name)
    if found == "SD3ControlNetModel" and network.config.use_pos_embed is False:
        network.pos_embed = network._get_pos_embed_from_transformer(base.network).to(device, base.dtype)
    return DiTControlNet(network, base)


def _check(config: Mapping[str, Any], base: Any, name: str) -> None:
    """Raises BadWeights where it is not of that transformer, or of a kind that is not read."""
    if config.get("num_mode") is not None:
        raise BadWeights(f"{name} is a ControlNet of many kinds in one (union), which is not read here; take a single one")
    if config.get("conditioning_embedding_channels") is not None or config.get("extra_conditioning_channels"):
        raise BadWeights(f"{name} sees its image in a way of its own (XLabs, or a mask), which is not read here; take another")
    for key in SAME:
        theirs, ours = config.get(key), base.network.config.get(key)
        if theirs is not None and theirs != ours:
            raise BadWeights(f"{name} has {key} {theirs}, {base.name} {ours}; take a ControlNet made for {base.name}")
