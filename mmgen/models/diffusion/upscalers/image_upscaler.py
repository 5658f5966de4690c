"""An upscaler's file as what decodes "latents" of three channels: images in, larger images out, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.safetensors_io import some
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.diffusion.single_file import kinds
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.diffusion.upscalers import compact, esrgan, palette

PREFIXES = ("params_ema.", "params.", "module.")
TILE = 192  # pixels a side, where an image is not taken whole; see autoencoder.tile_size
WIDTHS = 24
"""Maps of 64 channels that the widest place of such a network holds at once, about, per pixel of the large image."""


class ImageUpscaler:
    """mmgen.models.diffusion.autoencoder.Autoencoder's protocol: `decode` upscales (B, 3, H, W) in [-1, 1]."""

    channels, cheap, edge = 3, False, TILE

    def __init__(self, network: nn.Module, scale: int, device: str = "cpu") -> None:
        self.network = hold(network.requires_grad_(False).eval().to(device))
        self.factor, self.device = scale, torch.device(device)

    @property
    def weight_bytes(self) -> int:
        return sum(one.nbytes for one in self.network.parameters())

    def encode(self, images: Tensor) -> Tensor:
        """Raises NotImplementedError: nothing is made smaller here."""
        raise NotImplementedError

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        out: Tensor = self.network((latents.float().to(self.device) + 1) / 2)
        return (out * 2 - 1).clamp(-1, 1)

    def decode_bytes(self, height: int, width: int) -> int:
        return 4 * WIDTHS * 3 * height * width * self.factor**2

    def modules(self) -> list[nn.Module]:
        return [self.network]


class DescribedNetwork(nn.Module):
    """A network as spandrel describes it: a size that it cannot read is padded, and what else it asks for is given."""

    def __init__(self, described: Any) -> None:
        super().__init__()
        self.network, self.described = described.model, described

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], likewise larger."""
        out: Tensor = self.described(x)
        return out


def load(path: Path, device: str = "cpu", name: str = "") -> ImageUpscaler:
    """From a safetensors file. Raises BadWeights for a pickle, a damaged file, and one of another kind."""
    file = SingleFile(path)
    prefix = next((one for one in PREFIXES if all(name.startswith(one) for name in file.shapes)), "")
    tensors = {name.removeprefix(prefix): file.get(name) for name in file.shapes}
    try:
        network: Any = esrgan.made_of(tensors) or compact.made_of(tensors) or palette.made_of(tensors)
    except (RuntimeError, ValueError, KeyError) as why:
        raise BadWeights(
            f"{path} is an upscaler of another shape than is known here ({str(why).splitlines()[-1].strip()})"
        ) from None
    if network is not None:
        return ImageUpscaler(network, network.scale, device)
    return _by_spandrel(path, tensors, file, device)


def _by_spandrel(path: Path, tensors: Mapping[str, Tensor], file: SingleFile, device: str) -> ImageUpscaler:
    told = kinds.looks_like(file.shapes) or f"no upscaler that is known here: it holds {some(sorted(file.shapes), 3)}"
    try:
        import spandrel
    except ImportError:
        more = 'pip install "mmgen[upscalers]" brings more kinds'
        raise BadWeights(f"{path} looks like {told}; Real-ESRGAN's networks are read, {more}") from None
    except RuntimeError as why:  # a torchvision that was built for another torch
        raise BadWeights(f"{path} looks like {told}; spandrel cannot be imported ({str(why)[:100]})") from None
    try:
        found = spandrel.ModelLoader(device=device).load_from_state_dict(dict(tensors))
    except Exception as why:  # whatever its detection makes of it
        reason = str(why)[:100] or type(why).__name__
        raise BadWeights(f"{path} looks like {told}; spandrel does not know it ({reason})") from None
    if found.input_channels != 3 or found.output_channels != 3:
        raise BadWeights(f"{path} takes {found.input_channels} and gives {found.output_channels} channels; images have 3")
    return ImageUpscaler(DescribedNetwork(found), int(found.scale), device)
