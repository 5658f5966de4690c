"""int4: close to the weights, the same after being rounded twice, the same row alone and in a batch."""

import pytest
import torch
from torch import nn

from mmgen.models.quantization import int4
from mmgen.models.quantization.int4 import Int4Linear
from mmgen.models.quantization.int8 import Int8Linear, quantize


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(128, 64)


def test_rounding_twice_changes_nothing(layer: nn.Linear) -> None:
    numbers, scale, offset = int4.rounded(layer.weight.detach())
    restored = int4.restored(numbers, scale, offset)
    assert (restored - layer.weight).abs().max() < 0.6 * scale.max() and numbers.max() <= 15
    again = int4.rounded(restored)
    assert torch.equal(int4.restored(*again), restored)


def test_close_to_the_rounded_weights(layer: nn.Linear) -> None:
    x = torch.randn(2, 20, 128)
    with torch.inference_mode():
        weight = int4.restored(*int4.rounded(layer.weight))
        expected, found = nn.functional.linear(x, weight, layer.bias), Int4Linear(layer)(x)
    assert (found - expected).norm() / expected.norm() < 0.01
    assert found.shape == expected.shape and found.dtype == x.dtype


def test_a_row_alone_and_in_any_batch(layer: nn.Linear) -> None:
    x, small = torch.randn(70, 128), Int4Linear(layer)
    with torch.inference_mode():
        assert torch.equal(small(x), torch.cat([small(row[None]) for row in x]))


def test_layers_of_other_sizes_become_int8(layer: nn.Linear) -> None:
    module = quantize(nn.Sequential(layer, nn.Linear(64, 3)), "int4")
    assert isinstance(module[0], Int4Linear) and isinstance(module[1], Int8Linear)
    assert "128 -> 64" in repr(module)
