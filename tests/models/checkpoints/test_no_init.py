"""Weights that will be read are not drawn: no random number is taken, and dtypes are as asked for."""

import pytest
import torch
from torch import nn

from mmgen.models.checkpoints.no_init import without_init


@pytest.mark.parametrize(
    "make",
    [lambda: nn.Linear(8, 4), lambda: nn.Embedding(8, 4), lambda: nn.Conv2d(3, 4, 3), lambda: nn.Parameter(torch.randn(3))],
)
def test_nothing_is_drawn(make: object) -> None:
    before = torch.get_rng_state()
    with without_init(torch.bfloat16), torch.device("cpu"):
        made = make()  # type: ignore[operator]
    assert torch.equal(torch.get_rng_state(), before)
    weight = made if isinstance(made, nn.Parameter) else made.weight
    assert weight.dtype is torch.bfloat16
