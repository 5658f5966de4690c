"""What a CLIP model learns from: pictures and the captions that are true of them. Knows no files, models or losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class PairBatch:
    """B pictures and C captions, of which the first B are the pictures' own."""

    pixels: Tensor  # (B, 3, S, S) in [-1, 1]
    captions: Tensor  # (C,) their numbers in `ImageTextPairs.captions`
    same: Tensor  # (B, C) bool: the caption is true of the picture


@dataclass(frozen=True)
class HeldOut:
    """Pictures that training never shows, each as it is, and their captions."""

    pixels: Tensor  # (N, 3, S, S) in [-1, 1]
    captions: list[str]


class ImageTextPairs(Protocol):
    """Pictures and captions to train on."""

    captions: list[str]  # distinct
    tags: list[str]  # some of them, or words of their kind, that `mmgen image tags` may choose among
    held_out: HeldOut

    def batch(self, rng: np.random.Generator, count: int, more: int) -> PairBatch:
        """`count` pictures, anew changed, and `more` captions to tell them from. All chance comes from `rng`."""
        ...
