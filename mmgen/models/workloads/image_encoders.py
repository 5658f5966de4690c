"""How models that see choose their precision: two images and a text a pass, judged by their vectors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from mmgen.models.tuning import gates
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.texts import SENTENCES
from mmgen.models.tuning.workload import Workload
from mmgen.models.vision.dual_encoder import DualEncoder
from mmgen.models.vision.image_model import ImageModel

SIDE = 64
"""Pixels, before a model's own preprocessing."""


class VisionWorkload(Workload):
    """CLIP, SigLIP, ViT and DINOv2 on our own transformer."""

    kind: ClassVar = "image encoder"

    def candidates(self, folder: Path) -> tuple[str, ...]:
        return "fp32", "bf16", "int8"

    def takes(self, model: Any) -> bool:
        return isinstance(model, ImageModel)

    def run(self, model: ImageModel) -> None:
        model.embed_image_rows([model.row(image) for image in scenes()[:2]])

    def results(self, model: ImageModel, thorough: bool) -> Iterator[np.ndarray]:
        images = scenes()[: 8 if thorough else 2]
        yield model.embed_image_rows([model.row(images[0])])
        for n in range(0, len(images), 2):
            yield model.embed_image_rows([model.row(image) for image in images[n : n + 2]])
        if isinstance(model, DualEncoder):
            yield model.embed_rows(model.tokenize(SENTENCES[:3]))

    def judge(self, reference: list[np.ndarray], found: list[np.ndarray]) -> Verdict:
        alone, together, *_ = found
        return gates.cosine(np.concatenate(reference), np.concatenate(found)) & gates.company(alone, together[:1])


@lru_cache(maxsize=1)
def scenes() -> list[Image.Image]:
    """Eight drawings: gradients, rings and stripes in unlike colours, with some noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    out = []
    for _ in range(8):
        angle, rings, colours = rng.uniform(0, np.pi), rng.uniform(2, 12), rng.uniform(0, 1, (2, 3))
        weight = 0.5 + 0.5 * np.sin(rings * np.hypot(x, y) + 4 * (x * np.cos(angle) + y * np.sin(angle)))
        pixels = weight[..., None] * colours[0] + (1 - weight[..., None]) * colours[1] + rng.normal(0, 0.03, (SIDE, SIDE, 3))
        out.append(Image.fromarray((255 * pixels.clip(0, 1)).round().astype(np.uint8)))
    return out
