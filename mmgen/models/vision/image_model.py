"""Base class of image encoders: preprocessing per image, forward passes over batches, embeddings out."""

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
from mmgen.models.cpu.bf16 import Bf16PatchEmbedding, bf16_products
from mmgen.models.lm import fused_encoder
from mmgen.models.lm.transformer import Transformer
from mmgen.models.quantization.int8 import quantize
from mmgen.models.vision.preprocess import ImagePreprocess, to_images
from mmgen.models.vision.vit import VisionTransformer

PRECISIONS = {"": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}
BATCH = 16
"""Images per forward pass where no runner batches them."""


@dataclass(frozen=True, eq=False)
class ImageRow:
    """A preprocessed image. Its length, by which runners measure a batch, is its number of patches."""

    pixels: Tensor  # (3, H, W), preprocessed
    tokens: int

    def __len__(self) -> int:
        return self.tokens


class ImageModel(ABC):
    """A vision transformer with the preprocessing of its checkpoint."""

    labels: tuple[str, ...] = ()  # classes, where there is a classification head

    def __init__(self, tower: VisionTransformer, dimension: int, preprocess: ImagePreprocess, name: str) -> None:
        self.config, self.dimension, self.preprocess, self.name = tower.config, dimension, preprocess, name
        self.device, self.dtype = tower.device, tower.patches.weight.dtype
        self.weights = block_weights(tower.blocks)  # parameters used per token

    @abstractmethod
    def vectors(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) preprocessed -> (B, E), unit length"""

    def row(self, image: Image) -> ImageRow:
        """Decodes and preprocesses one image; thread-safe."""
        pixels, side = self.preprocess(image), self.config.patch
        return ImageRow(pixels, max(1, (pixels.shape[1] // side) * (pixels.shape[2] // side)))

    def rows(self, images: Sequence[Image] | Tensor) -> list[ImageRow]:
        """`row` of each image, or of each of (B, 3, H, W) in [-1, 1]."""
        return [self.row(image) for image in (to_images(images) if isinstance(images, Tensor) else images)]

    def embed_image_rows(self, rows: Sequence[ImageRow]) -> np.ndarray:
        """One forward pass -> (B, E) float32, unit length."""
        return self.passed(rows, self.vectors)

    def embed_images(self, images: Sequence[Image] | Tensor) -> np.ndarray:
        """Images, or (B, 3, H, W) in [-1, 1] -> (B, E) float32, unit length."""
        parts = [self.embed_image_rows(self.rows(images[n : n + BATCH])) for n in range(0, len(images), BATCH)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *parts])

    @torch.inference_mode()
    def passed(self, rows: Sequence[ImageRow], run: Callable[[Tensor], Tensor]) -> np.ndarray:
        """`run` once for each image size among the rows, (B, 3, H, W) -> (B, ...); results in the rows' order, float32."""
        sizes: dict[torch.Size, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            sizes[row.pixels.shape].append(number)
        out: dict[int, np.ndarray] = {}
        for numbers in sizes.values():
            batch = torch.stack([rows[number].pixels for number in numbers]).to(self.device, self.dtype)
            out.update(zip(numbers, run(batch).float().cpu().numpy(), strict=True))
        return np.stack([out[number] for number in range(len(rows))])


def block_weights(blocks: nn.Module) -> int:
    """Parameters of the blocks: multiplications per token. Call it before they are packed."""
    return sum(parameter.numel() for parameter in blocks.parameters())


def dtype_of(precision: str, device: str) -> torch.dtype:
    """Of a model's numbers; on a CPU "bf16" rounds the factors of products alone. Raises BadRequest for an unknown name."""
    if precision not in PRECISIONS:
        raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(filter(None, PRECISIONS))} after the #")
    return torch.float32 if precision == "bf16" and device == "cpu" else PRECISIONS[precision]


def prepare(module: nn.Module, precision: str) -> None:
    """Makes a model ready for inference: no gradients, factors rounded if asked for, weights packed for the CPU's kernels."""
    module.requires_grad_(False)
    if precision == "int8":
        quantize(module)
    elif precision == "bf16" and next(module.parameters()).device.type == "cpu":
        bf16_products(module)
        for part in [*module.modules()]:
            if isinstance(part, VisionTransformer) and isinstance(part.patches, nn.Conv2d):
                part.patches = Bf16PatchEmbedding(part.patches)
    onednn.pack(module)
    for part in module.modules() if precision in ("bf16", "int8") else ():
        if isinstance(part, VisionTransformer):
            fused_encoder.install(part, part.config.blocks)
        elif isinstance(part, Transformer):
            fused_encoder.install(part, part.config)
