"""Quality of generated images: retrieval accuracy, diversity and memorisation, with the scores of real images as ceilings.

Images are (B, 3, S, S) in [-1, 1]. `composition_metrics` measures where objects are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.models.diffusion.upscaler import half
from mmgen.training.data import augmentations
from mmgen.training.data.emoji_images import SIDE, EmojiImages
from mmgen.training.data.scene_renderer import Augment, SceneRenderer
from mmgen.training.eval.eval_prompts import EvalPrompt
from mmgen.training.eval.reference_images import Eye, ReferenceImages

LEAVE_OUT = ("people-body", "symbols", "flags")
"""Groups that no prompt asks for."""
KS = (1, 5)
COPY = 0.05
"""An image is a copy where it is nearer to a drawing than this share of the pairs of drawings of one thing by two vendors."""


def scenes(dataset: EmojiImages, prompts: Sequence[EvalPrompt], augment: Augment | None = None) -> Tensor:
    """(B, 3, 64, 64): true images of the prompts, each thing by some vendor; always the same ones."""
    layout, a, b, behind = (np.array([getattr(p, name) for p in prompts]) for name in ("layout", "a", "b", "background"))
    any_vendor, rng = np.full(len(prompts), -1), np.random.default_rng(0)
    return SceneRenderer(dataset, augment=augment).draw(layout, a, np.where(b < 0, a, b), any_vendor, behind, rng)


@torch.inference_mode()
def retrieval(eye: Eye, gallery: ReferenceImages, images: Tensor, wanted: Sequence[int]) -> dict[str, float]:
    """R@k: the share of images whose wanted thing is among the k that they look most like, of all that are wanted."""
    things = torch.tensor(sorted(set(wanted)))
    vectors = torch.cat([eye(part) for part in images.split(256)])
    ranks = gallery.ranks(vectors, torch.tensor(wanted), things)
    return {f"R@{k}": float((ranks < k).float().mean()) for k in KS}


def unknown_hand(eye: Eye, dataset: EmojiImages, wanted: Sequence[int]) -> dict[str, float]:
    """`retrieval` of each vendor's true drawings among those of the other vendors, all of whom drew the wanted things."""
    things, found = np.array(wanted), []
    for vendor in range(len(dataset.vendors)):
        others = dataset.table.copy()
        others[:, vendor] = -1
        gallery = ReferenceImages.of(eye, replace(dataset, table=others), wanted)
        images = augmentations.clean(dataset, things, np.full(len(things), vendor))
        found.append(retrieval(eye, gallery, images, wanted))
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


@torch.inference_mode()
def diversity(eye: Eye, images: Tensor) -> dict[str, float]:
    """(P, S, 3, H, W), S seeds of P prompts, two at least -> mean distances between images of one prompt, and of two prompts.

    "looks": 1 - the cosine of the vectors; "pixels": root mean square, colours in [0, 1].
    """
    vectors = eye(images.flatten(0, 1)).unflatten(0, images.shape[:2])  # (P, S, D)
    out = {}
    for name, values, apart in (("looks", vectors, _angle), ("pixels", images.flatten(2), _apart)):
        out[f"seeds, {name}"] = _mean_of_pairs(values, apart)
        out[f"prompts, {name}"] = _mean_of_pairs(values.transpose(0, 1), apart)
    return out


def _mean_of_pairs(values: Tensor, apart: Callable[[Tensor, Tensor], Tensor]) -> float:
    """(A, B, D) -> the mean over A and over all pairs of the B."""
    one, other = torch.triu_indices(values.shape[1], values.shape[1], 1)
    return float(torch.stack([apart(values[:, i], values[:, j]).mean() for i, j in zip(one, other, strict=True)]).mean())


def _angle(one: Tensor, other: Tensor) -> Tensor:
    return 1 - (one * other).sum(-1)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Root mean square distance of flat images, colours in [0, 1]."""
    return (one - other).pow(2).mean(-1).sqrt() / 2


@dataclass
class TrainingImages:
    """What a model was trained on, at 32 x 32 over white. Knows moves of a pixel and mirrors; not scales and backgrounds."""

    things: np.ndarray  # (N,) of each drawing
    pixels: Tensor  # (N, 3, 32, 32)
    between: Tensor  # distances between two vendors' drawings of one thing

    @classmethod
    def of(cls, dataset: EmojiImages, vendors: Sequence[str]) -> TrainingImages:
        """`vendors`: two at least."""
        columns = [dataset.vendors.index(vendor) for vendor in vendors]
        thing, place = np.nonzero(dataset.table[:, columns] >= 0)
        between = []
        for pair in combinations(columns, 2):
            both = np.flatnonzero((dataset.table[:, pair] >= 0).all(1))
            one, other = (half(augmentations.clean(dataset, both, np.full(len(both), vendor))) for vendor in pair)
            between.append(torch.stack([_apart(one.flatten(1), view.flatten(1)) for view in _moved(other)]).amin(0))
        return cls(thing, half(augmentations.clean(dataset, thing, np.array(columns)[place])), torch.cat(between))

    def nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) distances to the nearest drawing, and (B,) which it is."""
        small = F.interpolate(images, (SIDE // 2, SIDE // 2), mode="area").flatten(1).double()
        found = torch.stack([torch.cdist(small, view.flatten(1).double()) for view in _moved(self.pixels)]).amin(0)
        distance, place = found.min(1)
        return (distance / (2 * small.shape[1] ** 0.5)).float(), place

    def memorised(self, images: Tensor, wanted: Sequence[int]) -> dict[str, float]:
        """How far the nearest drawings are, how many of them show the wanted thing, how many are all but copied."""
        distance, place = self.nearest(images)
        threshold = float(self.between.quantile(COPY))
        return {
            "mean": float(distance.mean()),
            **{f"percentile {percent}": float(distance.quantile(percent / 100)) for percent in (5, 50, 95)},
            "show the wanted thing": float(np.mean(self.things[place.numpy()] == np.array(wanted))),
            "copies": float((distance < threshold).float().mean()),
            "threshold of a copy": threshold,
            "two vendors' median": float(self.between.median()),
        }


def _moved(pixels: Tensor) -> Iterator[Tensor]:
    """As they are and mirrored, moved by a pixel at most: 18 ways."""
    height, width = pixels.shape[2:]
    for mirrored in (pixels, pixels.flip(-1)):
        padded = F.pad(mirrored, (1, 1, 1, 1), value=1.0)
        for y in range(3):
            for x in range(3):
                yield padded[:, :, y : y + height, x : x + width]
