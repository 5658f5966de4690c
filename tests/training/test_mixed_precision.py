"""Whether a run takes bf16: by passes forward and backward in turn, and by the first loss."""

import math

import pytest
import torch
from torch import Tensor, nn

from mmgen.models.tuning.timing import Lap, Timings
from mmgen.training import mixed_precision


class Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": self.layer(x).pow(2).mean()}


def timings(bf16: float, rounds: int = 10) -> Timings:
    return Timings({name: [Lap(took, took)] * rounds for name, took in (("no", 1.0), ("bf16", bf16))})


@pytest.mark.parametrize(
    ("made", "loss", "expected", "why"),
    [
        (timings(0.5), 2.0, "bf16", "500 ms in bf16, 1000 in fp32"),
        (timings(0.97), 2.0, "no", "970 ms in bf16"),
        (timings(0.5, rounds=2), 2.0, "no", "2 rounds settle nothing"),
        (timings(0.5), 2.1, "no", "its loss in bf16 is 2.1, not 2"),
        (timings(0.5), math.nan, "no", "its loss in bf16 is nan"),
    ],
)
def test_faster_and_as_good(made: Timings, loss: float, expected: str, why: str) -> None:
    found, told = mixed_precision.chosen(made, {"no": 2.0, "bf16": loss})
    assert found == expected and why in told


def test_measuring_leaves_no_gradients() -> None:
    module = Loss()
    found, why = mixed_precision.measured(module, torch.randn(4, 8), "loss")
    assert found in ("no", "bf16") and why and module.layer.weight.grad is None


def test_accelerators_words() -> None:
    assert mixed_precision.accelerator("no").mixed_precision == "no"
    with mixed_precision.context("bf16"):
        assert torch.is_autocast_enabled("cpu")
    with mixed_precision.context("no"):
        assert not torch.is_autocast_enabled("cpu")
