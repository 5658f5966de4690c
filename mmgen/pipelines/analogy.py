"""analogy: the words nearest to a sum of words, such as king - man + woman."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.config import assets_dir
from mmgen.engine.job import Request
from mmgen.models.encoders.word_vectors import Neighbour, WordSum, nearest
from mmgen.pipelines.image import word_list

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@dataclass(frozen=True)
class Analogy:
    """What `analogy` returns, the nearest first."""

    words: tuple[Neighbour, ...]

    def __str__(self) -> str:
        return "\n".join(f"{near.similarity:.3f}  {near.word}" for near in self.words)


def analogy(
    rt: Runtime,
    words: str | Sequence[str],
    *,
    encoder: str | None = None,
    among: Path | None = None,
    k: int = 10,
    request: Request | None = None,
) -> Analogy:
    """The words nearest to a sum; 3CosAdd, Mikolov et al. 2013.

    words: an expression such as king - man + woman.
    encoder: embedded:NAME, a folder or a repo id.
    among: a file with a word on every line; without it 10,000 English words.
    k: how many.

    Raises BadRequest for what is no such expression, NotFound for a file that cannot be read.
    """
    asked = WordSum.read([words] if isinstance(words, str) else words)
    known = vocabulary(among)
    embed = partial(rt.encoder(encoder).embed_text, request=request)
    query = asked.vector(embed(asked.words))
    vectors = word_list.vectors(rt.home, encoder or rt.config.encoder, known, embed)
    return Analogy(tuple(nearest(query, vectors, known, k, without=asked.words)))


def vocabulary(among: Path | None) -> list[str]:
    return word_list.read(Path(among) if among else assets_dir() / "words" / "english.txt")
