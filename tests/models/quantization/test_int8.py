"""int8: close to fp32, the same to the bit in every batch."""

import pytest
import torch
from torch import nn

from mmgen.errors import BadRequest
from mmgen.models.quantization import int8
from mmgen.models.quantization.int8 import Int8Linear, quantize


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(384, 96)


def test_close_to_fp32(layer: nn.Linear) -> None:
    x = torch.randn(50, 384)
    with torch.inference_mode():
        expected, rounded = layer(x), Int8Linear(layer)(x)
    assert (rounded - expected).norm() / expected.norm() < 0.02


def test_a_loud_row_does_not_drown_a_quiet_one(layer: nn.Linear) -> None:
    x = torch.randn(2, 384) * torch.tensor([[1000.0], [0.001]])
    with torch.inference_mode():
        expected, rounded = layer(x) - layer.bias, Int8Linear(layer)(x) - layer.bias
    assert ((rounded - expected).norm(dim=1) / expected.norm(dim=1)).max() < 0.02


def test_a_row_alone_and_in_any_batch(layer: nn.Linear) -> None:
    x, rounded = torch.randn(100, 384), Int8Linear(layer)
    with torch.inference_mode():
        together = rounded(x.view(4, 25, 384)).view(100, 96)
        assert torch.equal(together, torch.cat([rounded(row[None]) for row in x]))
        assert torch.equal(together[60:], rounded(x[60:]))


def test_sums_do_not_overflow() -> None:
    layer = nn.Linear(1000, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.stack((torch.ones(1000), -torch.ones(1000))))
    x = torch.stack((torch.ones(1000), -torch.ones(1000), torch.zeros(1000)))
    with torch.inference_mode():
        torch.testing.assert_close(Int8Linear(layer)(x), torch.tensor([[1000.0, -1000], [-1000, 1000], [0, 0]]))


def test_every_linear_layer_is_replaced(layer: nn.Linear) -> None:
    module = quantize(nn.Sequential(layer, nn.Sequential(nn.GELU(), nn.Linear(96, 3))))
    kinds = [type(part).__name__ for part in module.modules()]
    assert kinds == ["Sequential", "Int8Linear", "Sequential", "GELU", "Int8Linear"]
    assert "384 -> 96" in repr(module)


def test_another_device_is_refused() -> None:
    with pytest.raises(BadRequest, match="int8 weights run on a CPU"):
        quantize(nn.Sequential(nn.Linear(2, 2, device="meta")))


@pytest.mark.parametrize(("most", "found"), [(127, "int8"), (63, "fp32")])
def test_a_model_published_in_int8_runs_in_nothing_coarser(monkeypatch: pytest.MonkeyPatch, most: int, found: str) -> None:
    monkeypatch.setattr(int8, "MOST", most)
    assert int8.as_published("int8") == found and int8.as_published("bf16") == "bf16"
