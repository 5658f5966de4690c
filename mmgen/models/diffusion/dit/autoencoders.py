"""Autoencoders that only diffusion transformers have: Qwen-Image's, made for video, Sana's, of 32 x 32 pixels, FLUX.2's."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.diffusion.autoencoder import CLASSES, Autoencoder, LatentAutoencoder


class FrameAutoencoder:
    """AutoencoderKLQwenImage on images: videos of one frame."""

    cheap = False

    def __init__(self, vae: Any) -> None:
        self.vae, config = vae, vae.config
        self.channels = int(config.z_dim)
        self.factor: int = 2 ** len(config.temperal_downsample)
        self.width = int(config.base_dim)
        self.edge = 256 // self.factor
        self.mean = torch.tensor(config.latents_mean).view(1, -1, 1, 1)
        self.spread = torch.tensor(config.latents_std).view(1, -1, 1, 1)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        latents: Tensor = (
            self.vae.encode(images[:, :, None].to(self.vae.device, self.vae.dtype)).latent_dist.mode()[:, :, 0].float()
        )
        return (latents - self.mean.to(latents)) / self.spread.to(latents)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        if (
            len(latents) > 1 and latents.device.type == "cpu"
        ):  # its convolutions over time see the batch, and gain nothing by it
            return torch.cat([self.decode(one[None]) for one in latents])
        latents = latents * self.spread.to(latents) + self.mean.to(latents)
        frames: Tensor = self.vae.decode(latents[:, :, None].to(self.vae.device, self.vae.dtype), return_dict=False)[0]
        return frames[:, :, 0].float().clamp(-1, 1)

    def decode_bytes(self, height: int, width: int) -> int:
        return 4 * 2 * self.width * height * width * self.factor**2 * int(self.vae.dtype.itemsize)

    def modules(self) -> list[torch.nn.Module]:
        return [self.vae]


class DeepCompressionAutoencoder:
    """AutoencoderDC; Chen et al. 2024. Its latents are scaled alone."""

    cheap = False

    def __init__(self, vae: Any) -> None:
        self.vae, config = vae, vae.config
        self.channels = int(config.latent_channels)
        self.factor: int = 2 ** (len(config.encoder_block_out_channels) - 1)
        self.width = int(config.decoder_block_out_channels[0])
        self.edge = 512 // self.factor
        self.scale = float(config.scaling_factor)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(images.to(self.vae.device, self.vae.dtype)).latent
        return latents.float() * self.scale

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        image: Tensor = self.vae.decode((latents / self.scale).to(self.vae.device, self.vae.dtype), return_dict=False)[0]
        return image.float().clamp(-1, 1)

    def decode_bytes(self, height: int, width: int) -> int:
        return 4 * 2 * self.width * height * width * self.factor**2 * int(self.vae.dtype.itemsize)

    def modules(self) -> list[torch.nn.Module]:
        return [self.vae]


class PatchedAutoencoder:
    """AutoencoderKLFlux2: squares of 2 x 2 latents are one, normed by the statistics of a batch norm."""

    cheap = False

    def __init__(self, vae: Any) -> None:
        self.vae, config = vae, vae.config
        self.channels = 4 * int(config.latent_channels)
        self.factor: int = 2 ** len(config.block_out_channels)
        self.width = int(config.block_out_channels[0])
        self.edge = 512 // self.factor
        self.mean = vae.bn.running_mean.view(1, -1, 1, 1).float()
        self.spread = (vae.bn.running_var.view(1, -1, 1, 1).float() + config.batch_norm_eps).sqrt()

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        latents: Tensor = self.vae.encode(images.to(self.vae.device, self.vae.dtype)).latent_dist.mode().float()
        normed: Tensor = (F.pixel_unshuffle(latents, 2) - self.mean.to(latents)) / self.spread.to(latents)
        return normed

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        latents = F.pixel_shuffle(latents * self.spread.to(latents) + self.mean.to(latents), 2)
        image: Tensor = self.vae.decode(latents.to(self.vae.device, self.vae.dtype), return_dict=False)[0]
        return image.float().clamp(-1, 1)

    def decode_bytes(self, height: int, width: int) -> int:
        return 4 * 2 * self.width * height * width * self.factor**2 * int(self.vae.dtype.itemsize)

    def modules(self) -> list[torch.nn.Module]:
        return [self.vae]


OTHERS: dict[str, type[Any]] = {
    "AutoencoderKLQwenImage": FrameAutoencoder,
    "AutoencoderDC": DeepCompressionAutoencoder,
    "AutoencoderKLFlux2": PatchedAutoencoder,
}


def autoencoder_of(vae: Any) -> Autoencoder:
    """Raises BadWeights for a class that none of ours reads."""
    name = type(vae).__name__
    if name in OTHERS:
        other: Autoencoder = OTHERS[name](vae)
        return other
    if name not in CLASSES:
        raise BadWeights(f"its vae is of class {name}; known are {', '.join((*CLASSES, *OTHERS))}")
    return LatentAutoencoder(vae)
