"""Images of a store that illustrate an answer. They are retrieved by the question; no model reads them for the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.interfaces import ImageHit, Scalar

if TYPE_CHECKING:
    from mmgen.library.image_library import ImageLibrary


@dataclass(frozen=True)
class IllustratingImage:
    """An image retrieved for a question, with the reason."""

    uri: str
    source: str  # the image file, or the document that contains it
    page: int | None  # from 1; pdf only
    caption: str
    score: float
    why: str  # in words, see `why`

    def __str__(self) -> str:
        page = f", page {self.page}" if self.page else ""
        return f"{Path(self.source).name}{page}"


def illustrations(
    gallery: ImageLibrary, question: str, k: int, where: Sequence[str] | Mapping[str, Scalar], request: Request
) -> list[IllustratingImage]:
    """The `k` nearest images, best first. Raises NotFound where the store holds none."""
    hits = gallery.search(question, k=k, where=where, request=request)
    return [IllustratingImage(hit.uri, hit.source, hit.page, hit.caption, hit.score, why(hit)) for hit in hits]


def why(hit: ImageHit) -> str:
    """The reason for a hit in words: what the image shows, and its caption where that matched."""
    shows = f"what it shows (cosine {hit.scores['text']:.2f})"
    return f'words of its caption "{hit.caption[:80]}", and {shows}' if hit.scores.get("caption") else shows
