"""Rows of a pass and their controls: who is asked with whom, and what is added up."""

from typing import Any

import torch
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.control.controlled_pass import unet_arguments
from mmgen.models.diffusion.control.controlnet import ControlNet
from mmgen.models.diffusion.control.row_control import PreparedControl, RowControl


class Counting(ControlNet):
    """Answers with what it sees plus the latents, and notes how many rows it was asked of."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []

    def residuals(self, x: Tensor, timesteps: Tensor, tokens: Tensor, seen: Any, more: Any) -> list[Tensor]:
        assert more == {"of": len(x)}
        self.rows.append((len(x), tokens.shape[1]))
        return [x + torch.stack(seen), timesteps.view(-1, 1)]


def test_rows_are_grouped_by_model_and_length_and_summed_in_order() -> None:
    one, two = Counting(), Counting()

    def control(model: ControlNet, value: float, scale: float = 1.0) -> RowControl:
        return RowControl(model, PreparedControl([torch.full((2,), value)]), scale)

    x, timesteps = torch.arange(8.0).view(4, 2), torch.tensor([1.0, 2.0, 3.0, 4.0])
    conditions = [Conditioning(torch.zeros(length, 3)) for length in (5, 5, 7, 5)]
    controls = [[control(one, 10), control(two, 100, 0.5)], [], [control(one, 1)], [control(one, 2, 2.0)]]
    found = unet_arguments(x, timesteps, conditions, controls, lambda rows, _: {"of": len(rows)})
    assert sorted(one.rows) == [(1, 7), (2, 5)] and two.rows == [(1, 5)]
    (down,), middle = found["down_block_additional_residuals"], found["mid_block_additional_residual"]
    expected = torch.stack([x[0] + 10 + (x[0] + 100) * 0.5, torch.zeros(2), x[2] + 1, (x[3] + 2) * 2])
    assert torch.equal(down, expected)
    assert torch.equal(middle, torch.tensor([[1.5], [0.0], [3.0], [8.0]]))
    assert unet_arguments(x, timesteps, conditions, [[]] * 4, lambda *_: {}) == {}
