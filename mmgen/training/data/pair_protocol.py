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
    """Images that training never shows, each as it is, and their captions."""

    pixels: Tensor  # (N, 3, S, S) in [-1, 1]
    captions: list[str]


class ImageTextPairs(Protocol):
    """Images and captions to train on."""

    captions: list[str]  # distinct
    tags: list[str]  # some of them, or words of their kind, that `mmgen image tags` may choose among
    held_out: HeldOut

    def batch(self, rng: np.random.Generator, count: int, more: int) -> PairBatch:
        """`count` images, anew changed, and `more` captions to tell them from. All chance comes from `rng`."""
        ...
