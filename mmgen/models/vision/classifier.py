"""Vision-only models, ViT and DINOv2: image embeddings, and class logits where the checkpoint has a classification head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor, nn

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints.convert import Checkpoint, TensorName, pour
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu.linear import Linear
from mmgen.models.vision import vision_families
from mmgen.models.vision.image_model import ImageModel, ImageRow, dtype_of, prepare
from mmgen.models.vision.preprocess import ImagePreprocess
from mmgen.models.vision.vit import VisionConfig, VisionTransformer


class Classifier(nn.Module):
    """A vision transformer with a linear head on its class token, or on that and the mean of the patch tokens."""

    def __init__(self, config: VisionConfig, labels: int = 0, reads: int = 1) -> None:
        """`labels`: number of classes, 0 for no head. `reads`: the head's inputs, 1: the class token, 2: also the patches' mean
        (DINOv2; Oquab et al. 2023, B.3)."""
        super().__init__()
        self.vision = VisionTransformer(config)
        self.reads = reads
        self.head = Linear(reads * config.hidden_size, labels) if labels else None

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> logits (B, labels)"""
        assert self.head is not None, "this model has no labels"
        if self.reads == 1:
            return self.head(self.vision.pooled(pixels))  # type: ignore[no-any-return]
        states = self.vision(pixels)
        return self.head(torch.cat((states[:, 0], states[:, 1:].mean(1)), -1))  # type: ignore[no-any-return]


class TowerModel(ImageModel):
    """mmgen.interfaces.ImageEncoder without texts: an image's embedding is its pooled state; `classify` gives logits."""

    def __init__(self, model: Classifier, preprocess: ImagePreprocess, labels: Sequence[str] = (), name: str = "") -> None:
        super().__init__(model.vision, model.vision.config.hidden_size, preprocess, name)
        self.model, self.labels = model.eval(), tuple(labels)

    def vectors(self, pixels: Tensor) -> Tensor:
        return F.normalize(self.model.vision.pooled(pixels), dim=-1)

    def classify_image_rows(self, rows: Sequence[ImageRow]) -> np.ndarray:
        """One forward pass -> (B, labels) logits."""
        return self.passed(rows, self.model)

    def classify(self, images: Sequence[Image] | Tensor) -> np.ndarray:
        """Images, or (B, 3, H, W) in [-1, 1] -> (B, labels) logits. Raises BadRequest where there are no labels."""
        if not self.labels:
            raise BadRequest(f"{self.name} has no labels; take a checkpoint with a classifier, or CLIP with labels of your own")
        return self.classify_image_rows(self.rows(images))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        raise BadRequest(f"{self.name} has no text encoder; take a dual encoder such as CLIP or SigLIP")

    def score(self, images: Any, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(self.embed_texts(texts))


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> TowerModel:
    """The registry's loader: ViT and DINOv2 of transformers. Raises BadWeights for a file that is missing or damaged."""
    dtype = dtype_of(precision, device)
    family, shape = vision_families.tower(folder)
    checkpoint = Checkpoint(folder)
    labels = _labels(read_json(folder / "config.json"), folder) if "classifier.weight" in checkpoint else ()
    with without_init(dtype), torch.device(device):
        model = Classifier(shape, len(labels), family.head_reads).to(dtype)
    head = {f"head.{kind}": TensorName((f"classifier.{kind}",)) for kind in ("weight", "bias")} if labels else {}
    pour(checkpoint, model, {**family.names(shape), **head}, family.ignored, family.prefix)
    made = TowerModel(model, ImagePreprocess.from_folder(folder), labels, name or folder.name)
    prepare(model, precision)
    return made


def _labels(values: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """In the order of the head's outputs. Without id2label: LABEL_0, LABEL_1, ..., two by default, as in transformers."""
    named = values.get("id2label") or {n: f"LABEL_{n}" for n in range(values.get("num_labels", 2))}
    try:
        return tuple(str(label) for _, label in sorted((int(number), label) for number, label in named.items()))
    except (ValueError, AttributeError):
        raise BadWeights(
            f"{folder / 'config.json'} numbers its labels {list(named)[:4]}; they have to be integers from 0"
        ) from None
