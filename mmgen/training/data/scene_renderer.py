"""Renders caption specifications as images: emoji placed, scaled and mirrored over a background.

Each object is placed by two box filters, `lines @ pixels @ columns'`, which shift, scale and mirror it at once; integer shifts
at full and half size keep every pixel exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.training.data.emoji_images import COLOURS, SIDE, EmojiImages

NOWHERE = (-1.0, -1.0)
CENTRES = np.array(  # (layouts, places, 2) x, y as shares of the image; in the order of captions.LAYOUTS
    [
        [(0.5, 0.5), NOWHERE, NOWHERE, NOWHERE],
        [(0.25, 0.5), (0.75, 0.5), NOWHERE, NOWHERE],
        [(0.75, 0.5), (0.25, 0.5), NOWHERE, NOWHERE],
        [(0.5, 0.25), (0.5, 0.75), NOWHERE, NOWHERE],
        [(0.5, 0.75), (0.5, 0.25), NOWHERE, NOWHERE],
        [(0.25, 0.5), (0.75, 0.5), NOWHERE, NOWHERE],
        [(0.5, 0.25), (0.25, 0.75), (0.75, 0.75), NOWHERE],
        [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)],
    ]
)
SLACK = np.array([(3, 3), (0, 3), (0, 3), (3, 0), (3, 0), (0, 3), (0, 0), (0, 0)])  # pixels that a place may move: x, y


class Augment(Config):
    """Augmentations that keep the caption true."""

    mirror: float = Field(default=0.5, ge=0, le=1)
    shift: bool = True
    scale: float = Field(default=0.3, ge=0, le=1)  # chance that a single thing is made smaller
    smallest: float = Field(default=0.8, gt=0, le=1)
    vendor: str = ""  # who draws it where no style is named; empty, or where that vendor did not: any of them


@dataclass(frozen=True)
class ScenePlacement:
    """Where K things of B scenes stand: one entry a thing but for `background`."""

    row: np.ndarray  # of which scene
    place: np.ndarray  # over those with a lower one
    image: np.ndarray  # which drawing
    flip: np.ndarray  # bool: mirrored
    corner: np.ndarray  # (K, 2) x, y of its upper left, in pixels of the renderer's side
    width: np.ndarray  # likewise
    background: np.ndarray  # (B,) in COLOURS, or negative: white


class SceneRenderer:
    """Renders on one device at one size; all randomness comes from the generator passed to `draw`."""

    def __init__(
        self, images: EmojiImages, side: int = SIDE, augment: Augment | None = None, device: str | torch.device = "cpu"
    ) -> None:
        """`side` 64, or 32 (box filter)."""
        if side not in (SIDE, SIDE // 2):
            raise BadRequest(f"images of side {side} are not made; choose {SIDE} or {SIDE // 2}")
        self.images, self.side, self.augment = images, side, augment or Augment()
        if (favoured := self.augment.vendor) and favoured not in images.vendors:
            raise BadRequest(f"augment.vendor is {favoured!r}; it can be {', '.join(images.vendors)}, or empty")
        self.device = torch.device(device)
        self.favoured = np.array([vendor == self.augment.vendor for vendor in images.vendors])  # (V,)
        self.pixels = images.pixels.to(self.device)
        self.colours = torch.tensor(list(COLOURS.values()), dtype=torch.float32, device=self.device)

    def draw(
        self,
        layout: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        style: np.ndarray,
        background: np.ndarray,
        rng: np.random.Generator,
    ) -> Tensor:
        """Requests, (B,) each -> (B, 3, S, S) in [-1, 1]."""
        return self.render(self.place(layout, a, b, style, background, rng))

    def place(
        self,
        layout: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        style: np.ndarray,
        background: np.ndarray,
        rng: np.random.Generator,
    ) -> ScenePlacement:
        """Requests, (B,) each, to where their things stand."""
        size, how = len(layout), self.augment
        first, second = self._choose(a, b, style, rng)
        row, place = np.nonzero(CENTRES[layout, :, 0] >= 0)  # (K,) one entry a thing to be drawn
        image = np.where(place == 0, first[row], second[row])
        single = layout == 0
        scale = np.where(single & (rng.random(size) < how.scale), rng.uniform(how.smallest, 1, size), np.where(single, 1, 0.5))
        width = scale[row] * self.side  # (K,) in output pixels
        flip = (rng.random((size, 2)) < how.mirror)[row, np.minimum(place, 1) * (a != b)[row]]
        flip &= self.images.mirrors[np.where(place == 0, a[row], b[row])]
        corner = CENTRES[layout[row], place] * self.side - width[:, None] / 2  # (K, 2)
        if how.shift:
            slack = SLACK[layout[row]] * self.side // SIDE
            corner = corner + np.rint(rng.uniform(-1, 1, (size, 4, 2))[row, place] * (slack + 0.49))
        corner = np.rint(self._inside(corner, width, image, flip))
        return ScenePlacement(row, place, image, flip, corner, width, background)

    def render(self, at: ScenePlacement, pixels: Tensor | None = None, zoom: int = 1) -> Tensor:
        """The scenes, (B, 3, zoom S, zoom S) in [-1, 1].

        pixels: the K things' drawings at another size, (K, P, 4, P) uint8 as EmojiImages has them; None: those at 64.
        """
        if pixels is None:
            pixels = self.pixels[torch.from_numpy(at.image).to(self.device)]
        box = pixels.shape[1], zoom * self.side
        columns, lines = (
            self._filters(zoom * at.corner[:, axis], zoom * at.width, at.flip & (axis == 0), *box) for axis in (0, 1)
        )
        return self._over(self._place(pixels.float(), lines, columns), at)

    def _choose(
        self, a: np.ndarray, b: np.ndarray, style: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The images of both things by the named vendor, or by the favoured one or one at random who drew both."""
        table = self.images.table
        both = (table[a] >= 0).astype(float) + (table[b] >= 0)  # (B, V)
        any_vendor = (both + np.maximum(rng.random(both.shape), self.favoured)).argmax(1)
        vendor = np.where(style >= 0, style, any_vendor)
        first, second = table[a, vendor], table[b, vendor]
        return np.where(first < 0, table[a].max(1), first), np.where(second < 0, table[b].max(1), second)

    def _inside(self, corner: np.ndarray, width: np.ndarray, image: np.ndarray, flip: np.ndarray) -> np.ndarray:
        """Moves that would push colour over the image's edge are cut short."""
        left, right, above, below = (self.images.margins[image] * (width / SIDE)[:, None]).T
        left, right = np.where(flip, right, left), np.where(flip, left, right)
        low = np.stack((-left, -above), axis=1)
        high = np.stack((self.side - width + right, self.side - width + below), axis=1)
        least = np.ceil(low - 1e-6)
        inside: np.ndarray = np.clip(corner, least, np.maximum(least, np.floor(high + 1e-6)))
        return inside

    def _filters(self, corner: np.ndarray, width: np.ndarray, flip: np.ndarray, pixels: int, side: int) -> Tensor:
        """Box filters (K, side, pixels): which share of each source pixel lies under each output pixel."""
        step = torch.tensor(pixels / width, dtype=torch.float32, device=self.device)[:, None, None]
        begin = torch.tensor(corner, dtype=torch.float32, device=self.device)[:, None, None]
        low = (torch.arange(side, device=self.device)[None, :, None] - begin) * step
        source = torch.arange(pixels, device=self.device).expand(len(width), pixels)
        source = torch.where(torch.tensor(flip, device=self.device)[:, None], pixels - 1 - source, source)[:, None, :]
        overlap = torch.minimum(low + step, source + 1) - torch.maximum(low, source)
        return overlap.clamp_(min=0).div_(step)

    @staticmethod
    def _place(pixels: Tensor, lines: Tensor, columns: Tensor) -> Tensor:
        """(K, P, 4, P) drawings through their filters (K, S, P) -> (K, 4, S, S) premultiplied, 0-255."""
        (count, own), side = pixels.shape[:2], lines.shape[1]
        half = lines @ pixels.view(count, own, 4 * own)  # (K, S, P) @ (K, P, 4 * P): the rows
        done = half.view(count, side * 4, own) @ columns.transpose(1, 2)  # (K, S * 4, P) @ (K, P, S)
        return done.view(count, side, 4, side).transpose(1, 2)

    def _over(self, things: Tensor, at: ScenePlacement) -> Tensor:
        """Things onto their backgrounds, one place after another; Porter and Duff 1984, "over"."""
        behind = self.colours[torch.from_numpy(np.maximum(at.background, 0)).to(self.device)]
        canvas = behind[:, :, None, None].expand(-1, -1, *things.shape[-2:]).clone()
        for number in range(int(at.place.max()) + 1):
            mine = torch.from_numpy(np.flatnonzero(at.place == number)).to(self.device)
            where = torch.from_numpy(at.row[at.place == number]).to(self.device)
            thing = things[mine]
            canvas[where] = canvas[where] * (1 - thing[:, 3:] / 255) + thing[:, :3]
        return canvas.div_(127.5).sub_(1)
