"""Image-text pairs rendered from the emoji data set: over backgrounds, moved, rotated and recoloured.

Some vendors' clean images, with their names as captions, are held out.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.training.data import augmentations, emoji_dataset, synthetic_captions
from mmgen.training.data.emoji_images import COLOURS, EmojiImages
from mmgen.training.data.pair_protocol import HeldOut, PairBatch
from mmgen.training.data.scene_renderer import Augment, SceneRenderer
from mmgen.training.data.synthetic_captions import LAYOUTS, UNNAMED, CaptionPool, Mix

COLOURED = re.compile(rf"\b({'|'.join([*COLOURS, 'grey', 'silver', 'gold', 'rainbow'])})\b", re.IGNORECASE)
TURNED = {"right": "left", "below": "above"}  # "a right of b" is "b left of a"


class SyntheticPairsRecipe(Config):
    """The `drawings` section of configs/train/emoji-clip-*.yaml"""

    held_out: tuple[str, ...] = ("fluent-flat",)  # vendors that are not learned; none: all are, and the last is measured
    leave_out: tuple[str, ...] = ("flags",)  # groups
    pool: int = Field(24_000, ge=1)  # requests drawn ahead, so that each caption is encoded once
    mix: Mix = Mix(single=0.84, relation=0.08, count=0.08, keywords=0.35, more_keywords=0.2, style=0, background=0.15)
    augment: Augment = Augment(scale=0.8, smallest=0.6)
    outlines: float = Field(default=0.0, ge=0, le=1)  # chance of dark contours
    palettes: float = Field(default=0.0, ge=0, le=1)  # chance of exchanged colours, where no caption speaks of them


class SyntheticPairs:
    """Pairs of vendors that are not held out."""

    def __init__(self, folder: Path, recipe: SyntheticPairsRecipe, seed: int = 0, device: str | torch.device = "cpu") -> None:
        """Raises NotFound and UnreadableFile for the folder, BadRequest for vendors or groups it has not."""
        vendors = list(dict.fromkeys(row["vendor"] for row in emoji_dataset.read_rows(folder)))
        learned = [vendor for vendor in vendors if vendor not in recipe.held_out]
        if not learned:
            raise BadRequest(f"held_out names all vendors ({', '.join(vendors)}); leave one to learn from")
        self.recipe = recipe
        self.images = EmojiImages.load(folder, learned, recipe.leave_out)
        self.held_out = clean(EmojiImages.load(folder, recipe.held_out or vendors[-1:], recipe.leave_out))
        self.painter = SceneRenderer(self.images, augment=recipe.augment, device=device)
        self.pool = synthetic_captions.draw(self.images, recipe.pool, recipe.mix, seed)
        self.captions = self.pool.captions
        self.tags = [synthetic_captions.plain(name) for name in self.images.names]
        self.scenes = _scenes(self.pool)
        words = zip(self.images.names, self.images.keywords, strict=True)
        self.coloured = np.array([bool(COLOURED.search(" ".join([name, *more]))) for name, more in words])

    def batch(self, rng: np.random.Generator, count: int, more: int) -> PairBatch:
        pool, rows = self.pool, rng.integers(0, len(self.pool), count + more)
        shown = rows[:count]
        layout, a, b, named = (column[shown] for column in (pool.layout, pool.a, pool.b, pool.background))
        behind = np.where(named == UNNAMED, self._any_colour(a, b, rng), named)
        pixels = self.painter.draw(layout, a, b, np.full(count, UNNAMED), behind, rng)
        fast = (named != UNNAMED) | self.coloured[a] | self.coloured[b]  # the caption says which colours are there
        pixels = self._restyled(pixels, ~fast, rng)
        pixels = augmentations.recoloured(augmentations.warped(augmentations.distort(pixels, rng), rng), ~fast, rng)
        said = pool.background[rows][None]
        same = (self.scenes[shown][:, None] == self.scenes[rows][None]) & ((said == UNNAMED) | (said == behind[:, None]))
        return PairBatch(pixels, torch.from_numpy(pool.caption[rows]), torch.from_numpy(same).to(pixels.device))

    def _restyled(self, pixels: Tensor, free: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Some in other hands' manner; `free`, (B,) bool: their captions speak of no colour. Without any, as before."""
        if self.recipe.palettes:
            pixels = augmentations.repainted(pixels, free & (rng.random(len(free)) < self.recipe.palettes), rng)
        if self.recipe.outlines:
            pixels = augmentations.outlined(pixels, free & (rng.random(len(free)) < self.recipe.outlines), rng)
        return pixels

    def _any_colour(self, a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(B,) colours that both things can be seen on."""
        colour = rng.integers(0, len(COLOURS), len(a))
        clash = self.images.clashes[a, colour] | self.images.clashes[b, colour]
        return np.where(clash, 0, colour)


def clean(images: EmojiImages) -> HeldOut:
    """Every drawing once, on white, with its name."""
    thing, vendor = np.nonzero(images.table >= 0)
    names = [synthetic_captions.plain(images.names[number]) for number in thing]
    return HeldOut(augmentations.clean(images, thing, vendor), names)


def _scenes(pool: CaptionPool) -> np.ndarray:
    """(R,) numbers: requests of one number want the same things in the same places, whatever words they use."""
    turned = {LAYOUTS.index(one): LAYOUTS.index(other) for one, other in TURNED.items()}
    layout = np.array([turned.get(n, n) for n in range(len(LAYOUTS))])[pool.layout]
    a, b = np.where(layout == pool.layout, (pool.a, pool.b), (pool.b, pool.a))
    numbers: np.ndarray = np.unique(np.stack((layout, a, b), 1), axis=0, return_inverse=True)[1].reshape(-1)
    return numbers
