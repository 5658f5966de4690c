"""Products in bfloat16 between activations in fp32, through oneDNN and without it."""

import pytest
import torch
from torch import nn

from mmgen.models.cpu import bf16
from mmgen.models.cpu.bf16 import Bf16Linear, Bf16PatchEmbedding, bf16_products


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_rounds_factors_alone(bias: bool, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not packed:
        monkeypatch.setattr(bf16, "ONEDNN", False)
    linear = nn.Linear(96, 40, bias=bias)
    rounded, x = Bf16Linear(linear), torch.randn(2, 16, 96)
    with torch.inference_mode():
        y = rounded(x)
        exact = linear.to(torch.bfloat16).float()(x.bfloat16().float())
        assert y.dtype == torch.float32 and (y - exact).abs().max() < 0.02
        assert Bf16Linear(linear, torch.bfloat16)(x).dtype == torch.bfloat16
    assert not list(rounded.parameters())


def test_what_goes_into_a_sum_stays_fp32() -> None:
    block = nn.ModuleDict({"up": nn.Linear(8, 16), "down": nn.Linear(16, 8), "norm": nn.LayerNorm(8)})
    bf16_products(block)
    assert (block["up"].result, block["down"].result) == (torch.bfloat16, torch.float32)
    assert isinstance(block["norm"], nn.LayerNorm)


@pytest.mark.parametrize("bias", [False, True])
def test_patches_are_embedded_as_by_the_convolution(bias: bool) -> None:
    conv = nn.Conv2d(3, 64, 4, 4, bias=bias)
    rounded, images = Bf16PatchEmbedding(conv), torch.randn(3, 3, 13, 9)
    with torch.inference_mode():
        y = rounded(images)
        assert y.shape == conv(images).shape == (3, 64, 3, 2) and (y - conv(images)).abs().max() < 0.03
        assert torch.equal(rounded(images[1:2])[0], y[1])
