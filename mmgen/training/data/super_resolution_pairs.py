"""Scenes of 256 pixels, rendered from the emoji data set's vectors, and what a denoiser draws of each at 64; kept as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams
from mmgen.training import checkpoint
from mmgen.training.data import emoji_images, emoji_vectors, holdout, synthetic_captions
from mmgen.training.data.emoji_images import SIDE, EmojiImages
from mmgen.training.data.scene_renderer import SceneRenderer
from mmgen.training.data.synthetic_captions import CaptionPool, Mix

if TYPE_CHECKING:
    from mmgen.clients.denoiser import DenoiserClient

SCALE = 4
LARGE = SCALE * SIDE
HELD_OUT = 12
"""One of so many things is held out, by a hash of its name."""
TOGETHER = 32
PARTS = ("large", "clean", "drawn", "redrawn")

Progress = Callable[[int, int], None]


class PairsRecipe(Config):
    """Which scenes, and how the denoiser sees them."""

    vendors: tuple[str, ...] = ("noto", "twemoji")
    leave_out: tuple[str, ...] = ("flags",)  # groups
    unknown: tuple[str, ...] = ("symbols", "people-body")  # groups that the denoiser was not trained on: these are not redrawn
    count: int = Field(default=4000, ge=1)
    held_out: int = Field(default=120, ge=0)  # pairs of things that no other pair shows
    redrawn: float = Field(
        default=0.5, ge=0, le=1
    )  # share of pairs that go through the denoiser; the others through its decoder
    strength: tuple[float, float] = (0.08, 0.3)  # of the redrawing: the least and the most noise, as of img2img
    steps: int = Field(default=20, ge=1)  # of the denoiser at strength 1
    mix: Mix = Mix(single=0.8, relation=0.1, count=0.1, keywords=0.0, more_keywords=0.0, background=0.3)
    seed: int = 0


@dataclass(frozen=True)
class SuperResolutionPairs:
    """M scenes, uint8 RGB."""

    large: np.ndarray  # (M, 3, 256, 256) the vectors as they are
    clean: np.ndarray  # (M, 3, 64, 64) their box filter
    drawn: np.ndarray  # (M, 3, 64, 64) as the denoiser's decoder gives them
    redrawn: np.ndarray  # (M,) bool: the denoiser took part in it

    @classmethod
    def open(cls, folder: Path) -> SuperResolutionPairs:
        """Read from the disk as they are used."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in PARTS))

    def __len__(self) -> int:
        return len(self.large)


def pairs(folder: Path, data: Path, recipe: PairsRecipe, client: DenoiserClient, progress: Progress | None = None) -> Path:
    """The folder with `training` and `held_out`; builds them where they are not there, in about ten minutes of a core."""

    def fill(fresh: Path) -> None:
        images = EmojiImages.load(data, recipe.vendors, recipe.leave_out)
        drawings = large_drawings(data, recipe, fresh / "drawings.npy")
        for name, count in (("training", recipe.count), ("held_out", recipe.held_out)):
            (fresh / name).mkdir()
            pool = scenes(images, count, recipe, name == "held_out")
            write(fresh / name, images, drawings, pool, recipe, client, progress)

    if not folder.is_dir():
        checkpoint.replaced(folder, fill)
    return folder


def is_held_out(name: str) -> bool:
    """Whether training shows nothing of that name."""
    return holdout.key(f"super-resolution {name}") % HELD_OUT == 0


def scenes(images: EmojiImages, count: int, recipe: PairsRecipe, held_out: bool) -> CaptionPool:
    """`count` requests of things that are held out, or of others."""
    mine = np.array([is_held_out(name) == held_out for name in images.names])
    if not mine.any():
        raise BadRequest(f"none of the {len(mine)} things is {'' if held_out else 'not '}held out; take a larger data set")
    pool = synthetic_captions.draw(images, max(200, 40 * count), recipe.mix, recipe.seed + held_out)
    rows = np.flatnonzero(mine[pool.a] & mine[pool.b])[:count]
    columns = {name: getattr(pool, name)[rows] for name in ("caption", "layout", "a", "b", "style", "background")}
    return replace(pool, **columns)


def large_drawings(data: Path, recipe: PairsRecipe, path: Path) -> np.ndarray:
    """(N, 256, 4, 256) uint8 as EmojiImages has them at 64, in a file."""
    files = [row["file"] for row in emoji_images.chosen_rows(data, recipe.vendors, recipe.leave_out)]
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (len(files), LARGE, 4, LARGE))
    for place, svg in zip(out, emoji_vectors.read(data, files), strict=True):
        place[:] = emoji_images.premultiplied(emoji_vectors.rasterise(svg, LARGE))
    return out


def write(
    folder: Path,
    images: EmojiImages,
    drawings: np.ndarray,
    pool: CaptionPool,
    recipe: PairsRecipe,
    client: DenoiserClient,
    progress: Progress | None = None,
) -> None:
    """The pool's requests as the files of SuperResolutionPairs."""
    total, rng = len(pool), np.random.default_rng([recipe.seed, 3])
    known = np.array([group not in recipe.unknown for group in images.groups])
    redrawn = known[pool.a] & known[pool.b] & (rng.random(total) < recipe.redrawn)
    np.save(folder / "redrawn.npy", redrawn)
    sides = {"large": LARGE, "clean": SIDE, "drawn": SIDE}
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (total, 3, side, side))
        for name, side in sides.items()
    }
    renderer = SceneRenderer(images)
    for begin in range(0, total, TOGETHER):
        rows = np.arange(begin, min(begin + TOGETHER, total))
        at = renderer.place(pool.layout[rows], pool.a[rows], pool.b[rows], pool.style[rows], pool.background[rows], rng)
        small, large = renderer.render(at), renderer.render(at, torch.from_numpy(drawings[at.image]), SCALE)
        drawn = client.model.decode(client.model.encode(small))
        again = np.flatnonzero(redrawn[rows])
        texts = [pool.captions[pool.caption[rows[n]]] for n in again]
        strengths, seeds = rng.uniform(*recipe.strength, len(rows))[again], rng.integers(0, 2**31, len(rows))[again]
        for n, pixels in zip(again, redraw(client, small[again], texts, strengths, seeds, recipe.steps), strict=True):
            drawn[n] = pixels
        for name, scene in (("large", large), ("clean", F.avg_pool2d(large, SCALE)), ("drawn", drawn)):
            files[name][rows] = levels(scene)
        if progress:
            progress(int(rows[-1]) + 1, total)


def redraw(
    client: DenoiserClient,
    small: Tensor,
    captions: Sequence[str],
    strengths: Sequence[float] | np.ndarray,
    seeds: Sequence[int] | np.ndarray,
    steps: int,
) -> list[Tensor]:
    """Each scene with some noise, denoised after its caption: (B, 3, 64, 64) -> B of (3, 64, 64), all in [-1, 1]."""
    rows = []
    for pixels, prompt, strength, seed in zip(small, captions, strengths, seeds, strict=True):
        given: dict[str, Any] = {"width": SIDE, "height": SIDE, "steps": steps, "strength": float(strength), "pixels": pixels}
        rows.append(client.resolved(ImageParams(prompt=prompt, seed=int(seed), **given)))
    found = {}
    for event in client.draw(rows, Request.new()) if rows else ():
        if (pixels := getattr(event, "pixels", None)) is not None:
            found[event.image] = pixels
    return [found[n] for n in range(len(rows))]


def levels(images: Tensor) -> np.ndarray:
    """[-1, 1] -> uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
