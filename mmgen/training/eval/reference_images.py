"""Nearest-neighbour classification of generated images against vectors of the reference images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmgen.training.data import augmentations
from mmgen.training.data.emoji_images import EmojiImages

Eye = Callable[[Tensor], Tensor]
"""(B, 3, S, S) in [-1, 1], any S -> (B, D), unit length: the image tower of a CLIP model."""


@dataclass
class ReferenceImages:
    """The clean drawings of some things, embedded."""

    things: Tensor  # (G,) of each drawing
    vectors: Tensor  # (G, D)

    @classmethod
    def of(cls, eye: Eye, dataset: EmojiImages, things: Sequence[int]) -> ReferenceImages:
        number, vendor = np.nonzero(dataset.table[list(things)] >= 0)
        thing = np.array(things)[number]
        images = augmentations.clean(dataset, thing, vendor)
        return cls(torch.from_numpy(thing), torch.cat([eye(part) for part in images.split(256)]))

    def scores(self, vectors: Tensor, things: Tensor) -> Tensor:
        """(B, D) and (C,) candidates -> (B, C): the cosine with the nearest drawing of each, whoever drew it."""
        cosines = vectors @ self.vectors.T  # (B, G)
        return torch.stack([cosines[:, self.things == thing].amax(1) for thing in things], dim=1)

    def ranks(self, vectors: Tensor, wanted: Tensor, things: Tensor) -> Tensor:
        """(B,) places of the wanted things among the (C,) candidates, from 0; R@k is the share below k."""
        scores = self.scores(vectors, things)
        own = scores.gather(1, (things[None] == wanted[:, None]).int().argmax(1, keepdim=True))
        return (scores > own).sum(1)
