"""Latents and images: the scale of diffusers' pipelines, and tiles that leave no seam."""

from pathlib import Path

import pytest
import tiny_images as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.errors import BadWeights
from mmgen.models.diffusion import autoencoder
from mmgen.models.diffusion.autoencoder import LatentAutoencoder, PixelAutoencoder, TiledDecode, decode, tile_size


class Nearest:
    """An autoencoder that enlarges: what it makes of a place depends on that place alone."""

    factor, channels, cheap, edge = 2, 3, False, 8

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents.repeat_interleave(2, 2).repeat_interleave(2, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_tiles_make_the_whole_image(height: int, width: int) -> None:
    latents, whole = torch.rand(2, 3, height, width), autoencoder.WHOLE
    try:
        autoencoder.WHOLE = 16
        tiled = decode(Nearest(), latents)  # type: ignore[arg-type]
        assert tile_size(Nearest(), height, width) in {(height, width), (min(8, height), min(8, width))}  # type: ignore[arg-type]
    finally:
        autoencoder.WHOLE = whole
    torch.testing.assert_close(tiled, Nearest().decode(latents), atol=1e-6, rtol=0)


def test_overlaps_are_blended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiles of different brightness: the image between them rises, nowhere by a jump."""
    monkeypatch.setattr(autoencoder, "WHOLE", 16)
    canvas = TiledDecode(Nearest(), torch.zeros(3, 8, 12))  # type: ignore[arg-type]
    for brightness in (0.0, 1.0):
        assert canvas.tile().shape == (3, 8, 8)
        canvas.add(torch.full((3, 16, 16), brightness))
    row = canvas.image()[0, 0]
    assert row[0] == 0 and row[-1] == 1 and (row.diff() >= 0).all() and row.diff().max() < 0.3


@pytest.mark.parametrize("options", [{}, {"latents_mean": [0.1, 0.2, -0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 1.5]}])
def test_the_scale_is_that_of_the_pipelines(options: dict[str, list[float]]) -> None:
    torch.manual_seed(0)
    vae = tiny.vae(**options)
    ours, images = LatentAutoencoder(vae), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        mode = vae.encode(images).latent_dist.mode()
        mean, std = (torch.tensor(options.get(key, [start] * 4)).view(1, 4, 1, 1) for key, start in
                     (("latents_mean", 0.0), ("latents_std", 1.0)))  # fmt: skip
        expected = (mode - mean) * 0.2 / std
        image = vae.decode(expected * std / 0.2 + mean).sample
    latents = ours.encode(images)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.decode(latents), image.clamp(-1, 1), atol=1e-5, rtol=0)


def test_the_small_autoencoder_of_diffusers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vae = tiny.tiny_vae()
    vae.save_pretrained(tmp_path)
    ours, images = LatentAutoencoder.load(tmp_path, "cpu", torch.float32), torch.rand(1, 3, 16, 16) * 2 - 1
    assert (ours.factor, ours.channels) == (2, 4)
    with torch.no_grad():
        torch.testing.assert_close(ours.encode(images), vae.encode(images).latents, atol=1e-5, rtol=0)
        latents = torch.rand(1, 4, 8, 8)
        torch.testing.assert_close(ours.decode(latents), vae.decode(latents).sample.clamp(-1, 1), atol=1e-5, rtol=0)


def test_channels_that_are_no_pixels() -> None:
    assert [PixelAutoencoder(channels).factor for channels in (3, 12, 48)] == [1, 2, 4]
    with pytest.raises(BadWeights, match="the UNet has 9 input channels and no vae/"):
        PixelAutoencoder(9)
