"""Adapters behind a network's layers: nothing is left behind, and no layer is passed by unseen."""

import pytest
import torch
from torch import nn

from mmgen.errors import BadWeights
from mmgen.models.diffusion.adapters.adapted_layers import AdaptedLayers
from mmgen.models.diffusion.adapters.weight_delta import DenseDelta


def test_rows_without_adapters_are_as_they_were() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    layers, x = AdaptedLayers(network), torch.randn(3, 3)
    deltas = {"0": DenseDelta(torch.eye(3))}
    plain = network(x)
    with layers.use([[], [(deltas, 2.0)], [(deltas, 0.5), (deltas, 0.5)]]):
        changed = network(x)
    assert torch.equal(changed[0], plain[0])
    torch.testing.assert_close(changed[1:], (network[0](x[1:]) + torch.tensor([[2.0], [1.0]]) * x[1:]).relu())
    assert torch.equal(network(x), plain)
    with layers.use([[(deltas, 0.0)]]):
        assert torch.equal(network(x), plain)


def test_a_layer_that_is_not_run_is_told() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.inner.weight

    network = Around()
    with pytest.raises(BadWeights, match="does not run its layer inner"), AdaptedLayers(network).use([[({"inner": DenseDelta(torch.eye(3))}, 1.0)]]):  # fmt: skip  # noqa: E501
        network(torch.randn(1, 3))
