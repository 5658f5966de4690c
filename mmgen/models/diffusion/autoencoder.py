"""Images to latents and back, whole or tile by tile. Knows no prompt, no noise and no step.

Images are (B, 3, H, W) in [-1, 1]; latents are what the denoiser works on, (B, C, H / factor, W / factor).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained, safetensors_io

WHOLE = 128 * 128
"""Latents up to this area are decoded in one piece (1024 x 1024 pixels at factor 8): tiles do not see each other's colours."""
CLASSES = ("AutoencoderKL", "AutoencoderTiny")


class Autoencoder(Protocol):
    factor: int  # pixels a latent place, each way
    channels: int  # of the latents
    cheap: bool  # decoding costs next to nothing, also on another thread
    edge: int  # of a tile, in latent places

    def encode(self, images: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...  # in one piece, clamped
    def decode_bytes(self, height: int, width: int) -> int: ...  # of a pass over one image of that latent size
    def modules(self) -> list[torch.nn.Module]: ...


class PixelAutoencoder:
    """No autoencoder: the denoiser works on pixels, or on squares of `factor` pixels folded into channels."""

    cheap, edge = True, 1 << 30

    def __init__(self, channels: int) -> None:
        self.channels, self.factor = channels, math.isqrt(channels // 3)
        if channels < 3 or 3 * self.factor**2 != channels:
            raise BadWeights(f"the UNet has {channels} input channels and no vae/; pixels have 3, or 3 * n * n folded n ways")

    def encode(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(images, self.factor)  # (B, 3, H, W) -> (B, 3 n n, H / n, W / n)

    def decode(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents.float(), self.factor).clamp(-1, 1)

    def decode_bytes(self, height: int, width: int) -> int:
        return 4 * 4 * self.channels * height * width

    def modules(self) -> list[torch.nn.Module]:
        return []


class LatentAutoencoder:
    """A diffusers AutoencoderKL or AutoencoderTiny; encoding takes the posterior's mode, so that it is deterministic."""

    cheap = False

    def __init__(self, vae: Any) -> None:
        self.vae, config = vae, vae.config
        self.device, self.dtype = vae.device, vae.dtype
        self.layout = torch.contiguous_format  # of what the network is given
        self.channels = int(config.latent_channels)
        levels = config.block_out_channels if type(vae).__name__ == "AutoencoderKL" else config.decoder_block_out_channels
        self.factor: int = 2 ** (len(levels) - 1)
        self.width = int(levels[0])
        self.edge = int(vae.tile_latent_min_size)
        self.scale = float(config.scaling_factor)
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        self.shift = torch.tensor(mean or [getattr(config, "shift_factor", None) or 0.0]).view(1, -1, 1, 1)
        self.spread = torch.tensor(std or [1.0]).view(1, -1, 1, 1) / self.scale

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> LatentAutoencoder:
        import diffusers

        name = pretrained.class_name(folder)
        if name not in CLASSES:
            raise BadWeights(f"{folder} is of class {name}; known are {' and '.join(CLASSES)}")
        if dtype == torch.float16 and safetensors_io.read_json(folder / "config.json").get("force_upcast", True):
            dtype = torch.float32  # fp16 overflows in these; diffusers upcasts them too
        return cls(pretrained.load(getattr(diffusers, name), folder, device, dtype))

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        out = self.vae.encode(images.to(self.device, self.dtype))
        latents: Tensor = (out.latent_dist.mode() if hasattr(out, "latent_dist") else out.latents).float()
        return (latents - self.shift.to(latents.device)) / self.spread.to(latents.device)

    def unscaled(self, latents: Tensor) -> Tensor:
        """As the network gives them, before its configuration's scale and shift."""
        return latents * self.spread.to(latents.device) + self.shift.to(latents.device)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        latents = self.unscaled(latents).to(self.device, self.dtype, memory_format=self.layout)
        out: Tensor = self.vae.decode(latents, return_dict=False)[0].float()
        return out.clamp(-1, 1)

    def decode_bytes(self, height: int, width: int) -> int:
        """The widest place: twice the last level's channels at full size, in and out of a convolution and its norm."""
        return 4 * 2 * self.width * height * width * self.factor**2 * int(self.dtype.itemsize)

    def modules(self) -> list[torch.nn.Module]:
        return [self.vae]


class TiledDecode:
    """An image that is decoded tile by tile: what is done, what is next. Overlaps are blended linearly."""

    def __init__(self, autoencoder: Autoencoder, latents: Tensor) -> None:
        """`latents`: (C, h, w)."""
        self.autoencoder, self.latents = autoencoder, latents
        height, width = latents.shape[1:]
        self.size = tile_size(autoencoder, height, width)
        tops, lefts = (_starts(length, edge) for length, edge in zip((height, width), self.size, strict=True))
        self.waiting = [(top, left) for top in reversed(tops) for left in reversed(lefts)]
        factor = autoencoder.factor
        self._sum = torch.zeros(3, height * factor, width * factor)
        self._weight = torch.zeros(1, height * factor, width * factor)

    def tile(self) -> Tensor:
        """The latents to decode next, (C, *size)."""
        top, left = self.waiting[-1]
        return self.latents[:, top : top + self.size[0], left : left + self.size[1]]

    def add(self, image: Tensor) -> None:
        """Takes what became of that tile."""
        factor = self.autoencoder.factor
        top, left = (factor * place for place in self.waiting.pop())
        height, width = (factor * length for length in self.size)
        weight = _ramp(height)[:, None] * _ramp(width)
        self._sum[:, top : top + height, left : left + width] += weight * image.cpu()
        self._weight[:, top : top + height, left : left + width] += weight

    def image(self) -> Tensor:
        """(3, H, W), once nothing is waiting."""
        assert not self.waiting
        return self._sum / self._weight


def decode(autoencoder: Autoencoder, latents: Sequence[Tensor] | Tensor) -> Tensor:
    """All at once: (B, C, h, w) -> (B, 3, H, W), a large image tile by tile."""
    images = []
    for canvas in [TiledDecode(autoencoder, row) for row in latents]:
        while canvas.waiting:
            canvas.add(autoencoder.decode(canvas.tile()[None])[0])
        images.append(canvas.image())
    return torch.stack(images)


def tile_size(autoencoder: Autoencoder, height: int, width: int) -> tuple[int, int]:
    """Of the pieces, in latent places, in which latents of that size are decoded."""
    if height * width <= WHOLE:
        return height, width
    return min(autoencoder.edge, height), min(autoencoder.edge, width)


def _starts(length: int, edge: int) -> list[int]:
    """Where windows of `edge` begin that cover `length` evenly and overlap by a quarter at least."""
    if length <= edge:
        return [0]
    overlap = edge // 4
    number = math.ceil((length - overlap) / (edge - overlap))
    return [round(n * (length - edge) / (number - 1)) for n in range(number)]


def _ramp(length: int) -> Tensor:
    """Rises from the tile's rim over its first quarter, falls over its last."""
    place = torch.arange(1, length + 1)
    return torch.minimum(place, place.flip(0)).clamp(max=max(1, length // 4)).float()
