"""The x2 upscaler and the half-size codec it ends."""

from pathlib import Path

import pytest
import torch

from mmgen.errors import BadWeights
from mmgen.models.diffusion.upscaler import HalfSizeAutoencoder, Upscaler, UpscalerConfig, half


@pytest.fixture
def upscaler() -> Upscaler:
    torch.manual_seed(0)
    return Upscaler(UpscalerConfig(channels=8, layers=2)).eval()


def test_twice_as_large(upscaler: Upscaler) -> None:
    assert upscaler(torch.zeros(2, 3, 8, 12)).shape == (2, 3, 16, 24)


def test_begins_at_the_bilinear_image(upscaler: Upscaler) -> None:
    torch.nn.init.zeros_(upscaler.last.weight)
    torch.nn.init.zeros_(upscaler.last.bias)
    flat = torch.full((1, 3, 8, 8), 0.25)
    assert torch.allclose(upscaler(flat), torch.full((1, 3, 16, 16), 0.25))


def test_saved_and_loaded(upscaler: Upscaler, tmp_path: Path) -> None:
    upscaler.save(tmp_path)
    again = Upscaler.load(tmp_path)
    x = torch.rand(1, 3, 8, 8)
    assert torch.allclose(again(x), upscaler(x), atol=2e-3)
    assert (tmp_path / "model.safetensors").stat().st_size < 2.2 * sum(p.numel() for p in upscaler.parameters()) + 4000


def test_folders_that_are_none(upscaler: Upscaler, tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"has no config\.json"):
        Upscaler.load(tmp_path)
    (tmp_path / "config.json").write_text('{"channels": 8}')
    with pytest.raises(BadWeights, match="is no upscaler's configuration"):
        Upscaler.load(tmp_path)


def test_codec_folds_and_clamps(upscaler: Upscaler) -> None:
    codec = HalfSizeAutoencoder(upscaler)
    images = torch.rand(2, 3, 64, 32) * 2 - 1
    latents = codec.encode(images)
    assert latents.shape == (2, codec.channels, 64 // codec.factor, 32 // codec.factor)
    assert torch.equal(torch.nn.functional.pixel_shuffle(latents, 2), half(images))
    decoded = codec.decode(10 * latents)
    assert decoded.shape == images.shape and decoded.abs().max() <= 1
