"""Small images twice as large, in one pass. Knows no prompt and no noise; a denoiser that works at half size ends with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.cpu.batch_invariant import silu
from mmgen.models.cpu.batch_invariant_layers import Conv2d, SiLU


@dataclass(frozen=True)
class UpscalerConfig:
    channels: int = 48
    layers: int = 4


class Upscaler(nn.Module):
    """A residual network at the small size and a sub-pixel convolution (Shi et al. 2016), added to the bilinear image."""

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.first = Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(Conv2d(width, width, 3, padding=1), SiLU(), Conv2d(width, width, 3, padding=1))
            for _ in range(config.layers)
        )
        self.last = Conv2d(width, 3 * 4, 3, padding=1)

    def forward(self, small: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, 2 H, 2 W)"""
        x = self.first(small)
        for block in self.blocks:
            x = x + block(x)
        plain = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
        return plain + F.pixel_shuffle(self.last(silu(x)), 2)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Upscaler:
        """From a folder with config.json and model.safetensors; BadWeights where one is missing or damaged."""
        values = safetensors_io.read_json(folder / "config.json")
        try:
            upscaler = cls(UpscalerConfig(int(values["channels"]), int(values["layers"])))
        except (KeyError, TypeError, ValueError) as why:
            raise BadWeights(
                f"{folder / 'config.json'} is no upscaler's configuration ({why}); fetch the model again"
            ) from None
        safetensors_io.fill(
            upscaler, {name: t.float() for name, t in safetensors_io.read(folder / "model.safetensors").items()}
        )
        return upscaler.eval().requires_grad_(False).to(device)

    def save(self, folder: Path) -> None:
        """Weights as fp16."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps({"_class_name": "Upscaler", **asdict(self.config)}, indent=2) + "\n")


def half(images: Tensor) -> Tensor:
    """Every 2 x 2 pixels to their mean: (B, 3, H, W) -> (B, 3, H / 2, W / 2)."""
    return F.avg_pool2d(images, 2)


class HalfSizeAutoencoder:
    """An autoencoder without learned latents: images at half size, 2 x 2 pixels folded into channels; decoding upscales.

    mmgen.models.diffusion.autoencoder.Autoencoder's protocol, with 12 channels and factor 4.
    """

    factor, channels, edge, cheap = 4, 12, 1 << 30, False

    def __init__(self, upscaler: Upscaler) -> None:
        self.upscaler = upscaler

    def encode(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(half(images), 2)  # (B, 3, H, W) -> (B, 12, H / 4, W / 4)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        small = F.pixel_shuffle(latents.float().to(self.upscaler.first.weight.device), 2).clamp(-1, 1)
        return self.upscaler(small).clamp(-1, 1)  # type: ignore[no-any-return]

    def decode_bytes(self, height: int, width: int) -> int:
        return 4 * 4 * self.upscaler.config.channels * 4 * height * width

    def modules(self) -> list[nn.Module]:
        return [self.upscaler]
