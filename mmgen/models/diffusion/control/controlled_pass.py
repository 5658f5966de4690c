"""What the rows of one forward pass are given by their control models. A row's part does not depend on the other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning, stack
from mmgen.models.diffusion.control.controlnet import ControlNet
from mmgen.models.diffusion.control.image_prompts import RowPrompts
from mmgen.models.diffusion.control.ip_adapter import IPAdapter
from mmgen.models.diffusion.control.row_control import RowControl
from mmgen.models.diffusion.control.t2i_adapter import T2IAdapter

Place = tuple[int, int]
"""A row, and the number of one of its controls."""


def unet_arguments(
    x: Tensor,
    timesteps: Tensor,
    conditions: Sequence[Conditioning],
    controls: Sequence[Sequence[RowControl]],
    told: Callable[[Sequence[int], Conditioning], dict[str, Any]],
) -> dict[str, Any]:
    """What a UNet of diffusers is called with besides.

    Args:
        x: (B, C, h, w) latents.
        timesteps: (B,)
        conditions: B prompts, of any lengths.
        controls: of B rows.
        told: what the UNet is told besides of these rows, which have that stacked condition.
    """
    found: dict[str, Any] = {}
    features = {
        (row, number): [tensor * one.scale for tensor in one.tensors]
        for row, own in enumerate(controls)
        for number, one in enumerate(own)
        if isinstance(one.model, T2IAdapter)
    }
    if features:
        found["down_intrablock_additional_residuals"] = _summed(features, len(x))
    if parts := _residuals(x, timesteps, conditions, controls, told):
        *down, middle = _summed(parts, len(x))
        found |= {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}
    return found


def image_prompts(controls: Sequence[Sequence[RowControl]]) -> list[RowPrompts]:
    """What the rows' IP-Adapters tell; empty where no row has one."""
    rows = [[(one.model, one.tensors[0], one.scale) for one in own if isinstance(one.model, IPAdapter)] for own in controls]
    return rows if any(rows) else []  # type: ignore[return-value]


def _residuals(
    x: Tensor,
    timesteps: Tensor,
    conditions: Sequence[Conditioning],
    controls: Sequence[Sequence[RowControl]],
    told: Callable[[Sequence[int], Conditioning], dict[str, Any]],
) -> dict[Place, list[Tensor]]:
    """Of every ControlNet of every row, scaled; each network is asked once for all rows of one length."""
    groups: dict[tuple[int, int], list[Place]] = {}
    for row, own in enumerate(controls):
        for number, one in enumerate(own):
            if isinstance(one.model, ControlNet):
                groups.setdefault((id(one.model), _length(conditions[row])), []).append((row, number))
    parts: dict[Place, list[Tensor]] = {}
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    for places in groups.values():
        rows = [row for row, _ in places]
        said = stack([conditions[row] for row in rows])
        assert said.tokens is not None
        used = [controls[row][number] for row, number in places]
        tokens = said.tokens.to(x.device, x.dtype)
        seen = [one.tensors[0] for one in used]
        taken = x[rows].contiguous(memory_format=layout)  # indexing lays one row out otherwise than several
        made = used[0].model.residuals(taken, timesteps[rows], tokens, seen, told(rows, said))
        for n, place in enumerate(places):
            parts[place] = [one[n] * used[n].scale for one in made]
    return parts


def _length(condition: Conditioning) -> int:
    """Tokens of a prompt; a ControlNet hides none of them, so each pass has prompts of one length."""
    return 0 if condition.tokens is None else len(condition.tokens)


def _summed(parts: dict[Place, list[Tensor]], batch: int) -> list[Tensor]:
    """(B, ...) each: a row's parts added in the order of its controls, zeros for a row without."""
    found = [one.new_zeros(batch, *one.shape) for one in max(parts.values(), key=len)]
    for row, number in sorted(parts):
        for total, own in zip(found, parts[row, number], strict=False):  # a T2I-Adapter may add nothing to the middle
            total[row] += own
    return found
