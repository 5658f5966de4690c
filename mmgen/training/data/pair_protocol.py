"""The interface of image-text data for contrastive training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class PairBatch:
    """B images and C captions, of which the first B are the images' own."""

    pixels: Tensor  # (B, 3, S, S) in [-1, 1]
    captions: Tensor  # (C,) their numbers in `ImageTextPairs.captions`
    same: Tensor  # (B, C) bool: the caption is true of the image


@dataclass(frozen=True)
class HeldOut:
    """Held-out images without augmentation, and their captions."""

    pixels: Tensor  # (N, 3, S, S) in [-1, 1]
    captions: list[str]


class ImageTextPairs(Protocol):
    """Images and captions to train on."""

    captions: list[str]  # distinct
    tags: list[str]  # the vocabulary of `mmgen image tags`
    held_out: HeldOut

    def batch(self, rng: np.random.Generator, count: int, more: int) -> PairBatch:
        """`count` augmented images, and `more` captions as additional negatives. All randomness comes from `rng`."""
        ...
