"""Packed layers give what torch's own give, whatever sizes follow each other, and hold their weights once."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny_images as tiny
import torch
from torch import nn

from mmgen.models.cpu.onednn import PACKS, PackedConv2d, PackedLinear, pack
from mmgen.models.diffusion.denoiser import DenoiserModel

pytestmark = [pytest.mark.skipif(not PACKS, reason="torch without oneDNN"), pytest.mark.usefixtures("two_threads")]


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"padding": 1}, {"padding": 1, "stride": 2}, {"groups": 4}, {"padding": 2, "dilation": 2}],
)
def test_equals_torchs_own(options: dict[str, Any]) -> None:
    conv = nn.Conv2d(8, 12, 3, **options)
    packed = PackedConv2d(conv)
    with torch.inference_mode():
        for rows, height, width in ((2, 8, 8), (1, 8, 8), (5, 16, 8), (2, 8, 8)):
            x = torch.randn(rows, 8, height, width)
            torch.testing.assert_close(packed(x), conv(x), atol=1e-5, rtol=1e-5)
            x = x.to(memory_format=torch.channels_last)
            torch.testing.assert_close(packed(x), conv(x), atol=1e-5, rtol=1e-5)


def test_weights_are_laid_out_once_a_size() -> None:
    packed = PackedConv2d(nn.Conv2d(16, 16, 3, padding=1))
    with torch.inference_mode():
        packed(torch.randn(2, 16, 8, 8))
        first = packed.weight
        packed(torch.randn(7, 16, 8, 8))
        assert packed.weight is first and first.is_mkldnn and not list(packed.parameters())
        packed(torch.randn(2, 16, 8, 4))
        assert packed.weight is not first


@pytest.mark.parametrize("bias", [False, True])
def test_linear_equals_torchs_own_and_a_row_is_the_same_in_any_company(bias: bool) -> None:
    linear = nn.Linear(48, 20, bias=bias)
    packed = PackedLinear(linear)
    with torch.inference_mode():
        x = torch.randn(1, 40, 48)
        y = packed(x)
        torch.testing.assert_close(y, linear(x), atol=1e-5, rtol=1e-5)
        assert all(torch.equal(packed(x[:, at : at + 1]), y[:, at : at + 1]) for at in range(40))
        for shape in ((0, 48), (48,), (2, 48), (3, 1, 48), (5, 48)):  # few rows are filled up
            rows = math.prod(shape) // 48
            few = packed(x[0, :rows].view(shape))
            assert few.shape == (*shape[:-1], 20) and torch.equal(few.view(rows, 20), y[0, :rows])
    assert packed.weight.is_mkldnn and not list(packed.parameters())


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no products in bf16 here")
def test_bf16_is_packed_where_it_is_asked_for() -> None:
    plain = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 8, 1)).bfloat16()
    x = torch.randn(2, 8, 8, 8).bfloat16().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = plain(x)
        found = pack(plain, (torch.float32, torch.bfloat16))(x)
        assert type(plain[0]) is PackedConv2d
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
        linear, rows = nn.Linear(48, 20).bfloat16(), torch.randn(2, 48).bfloat16()
        torch.testing.assert_close(PackedLinear(linear)(rows), linear(rows), atol=0.02, rtol=0.02)


def test_what_is_packed() -> None:
    circular = nn.Conv2d(4, 4, 3, padding_mode="circular", padding=1)
    found = pack(
        nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Linear(4, 4)), circular, nn.Conv2d(4, 4, 3, padding="same"))
    )
    assert [type(module) for module in found[0]] == [PackedConv2d, PackedLinear]  # type: ignore[index, arg-type]
    assert found[1] is circular and type(found[2]) is nn.Conv2d  # type: ignore[index]
    half = pack(nn.Sequential(nn.Conv2d(4, 4, 1)).bfloat16())
    assert type(half[0]) is nn.Conv2d  # type: ignore[index]


@pytest.mark.parametrize("kind", ["stable_diffusion", "embedded", "unconditional"])
def test_a_packed_denoiser_predicts_the_same(tmp_path: Path, kind: str) -> None:
    model = DenoiserModel.load(getattr(tiny, kind)(tmp_path))
    x, timesteps = torch.randn(3, model.channels, 8, 8), torch.tensor([999.0, 0.0, 500.25])
    conditions, wide = model.embed_prompts(["a cat", "", "a dog"]), torch.randn(1, model.channels, 8, 16)
    before = model.predict(x, timesteps, conditions), model.predict(wide, timesteps[:1], conditions[:1])
    held = model.weight_bytes
    model.pack()
    assert any(isinstance(module, PackedConv2d) for module in model.unet.modules()) and model.weight_bytes == held
    for _ in range(2):
        torch.testing.assert_close(model.predict(x, timesteps, conditions), before[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(model.predict(wide, timesteps[:1], conditions[:1]), before[1], atol=1e-5, rtol=0)
