"""What the rows of one forward pass are given by their control models. A row's part does not depend on the other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning, stack
from mmgen.models.diffusion.control.controlnet import ControlNet
from mmgen.models.diffusion.control.row_control import RowControl

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
    groups: dict[tuple[int, int], list[Place]] = {}
    for row, own in enumerate(controls):
        for number, one in enumerate(own):
            if isinstance(one.model, ControlNet):
                groups.setdefault((id(one.model), _length(conditions[row])), []).append((row, number))
    parts: dict[Place, list[Tensor]] = {}
    for places in groups.values():
        rows = [row for row, _ in places]
        said = stack([conditions[row] for row in rows])
        assert said.tokens is not None
        used = [controls[row][number] for row, number in places]
        tokens = said.tokens.to(x.device, x.dtype)
        seen = [one.tensors[0] for one in used]
        made = used[0].model.residuals(x[rows], timesteps[rows], tokens, seen, told(rows, said))
        for n, place in enumerate(places):
            parts[place] = [one[n] * used[n].scale for one in made]
    if not parts:
        return {}
    *down, middle = _summed(parts, len(x))
    return {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}


def _length(condition: Conditioning) -> int:
    """Tokens of a prompt; a ControlNet hides none of them, so each pass has prompts of one length."""
    return 0 if condition.tokens is None else len(condition.tokens)


def _summed(parts: dict[Place, list[Tensor]], batch: int) -> list[Tensor]:
    """(B, ...) each: a row's parts added in the order of its controls, zeros for a row without."""
    found = [one.new_zeros(batch, *one.shape) for one in next(iter(parts.values()))]
    for row, number in sorted(parts):
        for total, own in zip(found, parts[row, number], strict=True):
            total[row] += own
    return found
