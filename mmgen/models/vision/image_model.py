"""What models that see have in common: images in, rows of pixels between, vectors out. Knows no text and no queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.models.cpu import onednn
from mmgen.models.quantization.int8 import quantize
from mmgen.models.vision.preprocess import ImagePreprocess, to_images
from mmgen.models.vision.vit import VisionTransformer

PRECISIONS = {"": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}
BATCH = 16
"""Images a pass, where they do not come through a runner."""


@dataclass(frozen=True, eq=False)
class ImageRow:
    """An image as a row, as long as what it costs."""

    pixels: Tensor  # (3, H, W), normalised
    tokens: int

    def __len__(self) -> int:
        return self.tokens


class ImageModel(ABC):
    """A vision tower with the preprocessing of its checkpoint."""

    labels: tuple[str, ...] = ()  # of a classifier

    def __init__(self, tower: VisionTransformer, dimension: int, preprocess: ImagePreprocess, name: str) -> None:
        self.config, self.dimension, self.preprocess, self.name = tower.config, dimension, preprocess, name
        self.device, self.dtype = tower.device, tower.patches.weight.dtype
        self.weights = block_weights(tower.blocks)  # that every patch goes through

    @abstractmethod
    def vectors(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> (B, E), unit length"""

    def row(self, image: Image) -> ImageRow:
        """One image, decoded and prepared; may run in any thread."""
        pixels, side = self.preprocess(image), self.config.patch
        return ImageRow(pixels, max(1, (pixels.shape[1] // side) * (pixels.shape[2] // side)))

    def rows(self, images: Sequence[Image] | Tensor) -> list[ImageRow]:
        """Images, or (B, 3, H, W) in [-1, 1]."""
        return [self.row(image) for image in (to_images(images) if isinstance(images, Tensor) else images)]

    def embed_image_rows(self, rows: Sequence[ImageRow]) -> np.ndarray:
        """(B, E) float32, unit length: a row runner's pass."""
        return self.passed(rows, self.vectors)

    def embed_images(self, images: Sequence[Image] | Tensor) -> np.ndarray:
        """Images, or (B, 3, H, W) in [-1, 1] -> (B, E) float32, unit length."""
        parts = [self.embed_image_rows(self.rows(images[n : n + BATCH])) for n in range(0, len(images), BATCH)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *parts])

    @torch.inference_mode()
    def passed(self, rows: Sequence[ImageRow], run: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Rows through a forward pass for each size of theirs, (B, 3, H, W) -> (B, ...), as float32 on the CPU."""
        sizes: dict[torch.Size, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            sizes[row.pixels.shape].append(place)
        out: dict[int, np.ndarray] = {}
        for places in sizes.values():
            batch = torch.stack([rows[place].pixels for place in places]).to(self.device, self.dtype)
            out.update(zip(places, run(batch).float().cpu().numpy(), strict=True))
        return np.stack([out[place] for place in range(len(rows))])


def block_weights(blocks: nn.Module) -> int:
    """How many weights a place goes through; of blocks that are not packed yet."""
    return sum(parameter.numel() for parameter in blocks.parameters())


def dtype_of(precision: str) -> torch.dtype:
    """Raises BadRequest for a precision that there is not."""
    if precision not in PRECISIONS:
        raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(filter(None, PRECISIONS))} after the #")
    return PRECISIONS[precision]


def prepare(module: nn.Module, precision: str) -> None:
    """Rounds weights to int8 where that was asked for, and lays them out as the processor's kernels read them; no training."""
    module.requires_grad_(False)
    if precision == "int8":
        quantize(module)
    onednn.pack(module)
