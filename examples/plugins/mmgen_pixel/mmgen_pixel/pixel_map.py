"""pixel-map: cosine similarities of a text to labels, as rows of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class PixelMap:
    """Similarity of each label, nearest first."""

    prompt: str
    similarities: dict[str, float]  # cosine, -1 to 1
    grid: int

    def __str__(self) -> str:
        width = max(map(len, self.similarities))
        return "\n".join(f"{name:{width}} {row(value, self.grid)} {value:.2f}" for name, value in self.similarities.items())


def pixel_map(
    rt: Runtime,
    prompt: str,
    labels: Sequence[str] = ("animal", "vehicle", "food", "music"),
    grid: int = 32,
    encoder: str | None = None,
) -> PixelMap:
    """How near a text is to each label, drawn in blocks.

    prompt: any text.
    labels: what it is compared with.
    grid: blocks in a row, 1 to 200.
    encoder: reference of the model that embeds both.
    """
    if not labels:
        raise BadRequest("there is nothing to compare with; give labels")
    if not 1 <= grid <= 200:
        raise BadRequest(f"grid is {grid}; it can be 1 to 200 blocks")
    vectors = rt.encoder(encoder).embed_text([prompt, *labels])  # (1 + L, D), unit length
    nearness = vectors[1:] @ vectors[0]  # (L,) cosines
    ordered = sorted(zip(labels, map(float, nearness), strict=True), key=lambda pair: -pair[1])
    return PixelMap(prompt, dict(ordered), grid)


def row(value: float, blocks: int) -> str:
    """A bar of so many blocks, to an eighth of one; below zero it is empty."""
    eighths = round(8 * blocks * max(0.0, min(1.0, value)))
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).ljust(blocks)[:blocks]
