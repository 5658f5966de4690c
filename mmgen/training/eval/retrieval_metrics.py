"""Recall@k between images and captions, and zero-shot classification accuracy.

Vectors are of unit length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

KS = (1, 5)


def recall(queries: Tensor, candidates: Tensor, same: Tensor) -> dict[str, float]:
    """R@k: the share of queries that have one of their own among their k nearest candidates.

    Args:
        queries, candidates: (Q, E), (N, E).
        same: (Q, N) bool, what belongs to a query; a query without anything counts as not found.
    """
    scores = queries @ candidates.T  # (Q, N)
    own = scores.masked_fill(~same, -torch.inf).amax(1, keepdim=True)
    before = ((scores >= own) & ~same).sum(1)  # what is as near as its own stands before it
    return {f"R@{k}": float((same.any(1) & (before < k)).float().mean()) for k in KS}


def both_ways(images: Tensor, texts: Tensor, captions: Sequence[str]) -> dict[str, float]:
    """Texts to images and images to texts; row n of both has caption n, and images of one caption are right alike."""
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    of = torch.tensor([numbers[caption] for caption in captions], device=images.device)
    same = of[:, None] == of[None]
    found = {"text to image": recall(texts, images, same), "image to text": recall(images, texts, same)}
    return {f"{way} {k}": value for way, values in found.items() for k, value in values.items()}


def accuracy(images: Tensor, labels: Tensor, right: Tensor) -> float:
    """(N, E) images, (L, E) labels, (N,) the number of each image's label -> the share whose nearest label it is."""
    return float(((images @ labels.T).argmax(1) == right).float().mean())
