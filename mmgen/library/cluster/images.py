"""Images on other nodes: decoded by one stage, embedded by another, and compared and stored here as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmgen.interfaces import Scalar
from mmgen.library.cluster.stages import StageRates, StageRow, StageRuntime
from mmgen.library.image_indexing import AT_ONCE, ReadImages, read_images


@dataclass(frozen=True)
class DecodeImages:
    """The first stage: `path -> ReadImages`."""

    metadata: Mapping[str, Scalar]

    def open(self) -> Callable[[Sequence[StageRow]], list[StageRow]]:
        return lambda rows: [self._one(row) for row in rows]

    def _one(self, row: StageRow) -> StageRow:
        began = time.perf_counter()
        found = read_images(Path(row.value), self.metadata)
        return StageRow(found, {"read": (1, time.perf_counter() - began)})


@dataclass(frozen=True)
class EmbedImages:
    """The second: a vector in the place of each image's pixels."""

    runtime: StageRuntime
    encoder: str

    def open(self) -> Callable[[Sequence[StageRow]], list[StageRow]]:
        client = self.runtime.open().seeing(self.encoder)

        def embed(rows: Sequence[StageRow]) -> list[StageRow]:
            began = time.perf_counter()
            images = [image for row in rows for _, image in row.value.images]
            parts = [client.embed_images(images[n : n + AT_ONCE], None) for n in range(0, len(images), AT_ONCE)]
            vectors = iter([vector for part in parts for vector in part])
            each = (time.perf_counter() - began) / max(1, len(images))
            return [_embedded(row, vectors, each) for row in rows]

        return embed


def _embedded(row: StageRow, vectors: Iterator[object], each: float) -> StageRow:
    read: ReadImages = row.value
    pairs = [(stored, next(vectors)) for stored, _ in read.images]
    spent = {"embed": (len(pairs), each * len(pairs))}
    return StageRow(ReadImages(read.source, pairs, failed=read.failed), {**row.spent, **spent})  # type: ignore[arg-type]


def told(rows: Iterable[StageRow], rates: StageRates) -> Iterator[ReadImages]:
    """What comes, for `ImageIndexing`, whose time with each is what writing takes."""
    for row in rows:
        rates.add(row.spent)
        began = time.perf_counter()
        yield row.value
        rates.add({"write": (1, time.perf_counter() - began)})
