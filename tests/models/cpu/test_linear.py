"""oneDNN's kernel gives what torch's own gives, and training never meets it."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmgen.models.cpu import linear
from mmgen.models.cpu.linear import ONEDNN, Linear

needs_onednn = pytest.mark.skipif(not ONEDNN, reason="torch without oneDNN")


class Kernels(TorchDispatchMode):
    """Names of the operators that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def kernels(layer: nn.Module, x: torch.Tensor) -> str:
    with Kernels() as mode:
        layer(x)
    return " ".join(mode.names)


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 3, 24), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_torchs_own(shape: tuple[int, ...], bias: bool) -> None:
    layer, x = Linear(24, 7, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-6, rtol=1e-5)


@needs_onednn
def test_rows_that_are_not_contiguous() -> None:
    layer, x = Linear(24, 7), torch.randn(24, 5).t()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), layer(x.contiguous()), atol=1e-6, rtol=1e-5)


@needs_onednn
def test_only_where_nothing_is_learned_and_all_is_fp32() -> None:
    layer, x = Linear(24, 7), torch.randn(3, 24)
    assert "mkldnn" not in kernels(layer, x)
    with torch.inference_mode():
        assert "mkldnn" in kernels(layer, x)
        assert "mkldnn" not in kernels(Linear(24, 7).double(), x.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_a_large_product_is_interrupted_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody waits, and by parts of at least so many rows."""
    monkeypatch.setattr(linear, "PART", 24 * 7 * 64)
    monkeypatch.setattr(linear, "LEAST_PART", 32)
    layer, x, told = Linear(24, 7), torch.randn(2, 65, 24), Waiting()
    with torch.inference_mode():
        expected = layer(x)
        layer.interruption = told
        assert torch.equal(layer(x), expected) and told.times == 1, "130 rows are two parts of 65"
        assert torch.equal(layer(x[0]), expected[0]) and told.times == 1, "65 rows are one"
        told.waits = False
        assert torch.equal(layer(x), expected) and told.times == 1
    layer(x).sum().backward()
    assert told.times == 1


class Waiting:
    """An interruption that counts how often it happened."""

    waits, times = True, 0

    def wanted(self) -> bool:
        return self.waits

    def __call__(self) -> None:
        self.times += 1
