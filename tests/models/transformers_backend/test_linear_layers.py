"""Other people's linear layers in our forms: those that are run, each once, and the same results."""

import pytest
import torch
from torch import nn

from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.models.transformers_backend.linear_layers import CalledLinears, packed, replace, rounded


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.read = nn.Linear(32, 64), nn.Linear(64, 32)
        self.inner = nn.ModuleList([self.up])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.up(x), self.read.weight)


@pytest.mark.parametrize("precision", ["", "int8", "int4"])
def test_what_is_run_is_replaced_wherever_it_stands(precision: str) -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(3, 32)
    with torch.inference_mode():
        with CalledLinears(net) as called:
            before = net(x)
        assert called.found == {net.up}
        replace(net, called.found, lambda layer: rounded(layer, precision) if precision else packed(layer))
        after = net(x)
    assert type(net.up) is not nn.Linear and net.inner[0] is net.up and type(net.read) is nn.Linear
    assert isinstance(net.up, {"": nn.Module, "int8": Int8Linear, "int4": (Int4Linear, Int8Linear)}[precision])
    assert (after - before).norm() / before.norm() < {"": 1e-6, "int8": 0.02, "int4": 0.2}[precision]


def test_sixteen_bits_stay_as_they_are() -> None:
    layer = nn.Linear(8, 8, dtype=torch.bfloat16)
    assert packed(layer) is layer
