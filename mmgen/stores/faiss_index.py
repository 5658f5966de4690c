"""A FAISS index over vectors stored in SQLite: a cache that can always be rebuilt."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from mmgen.errors import BadRequest

Kind = Literal["flat", "hnsw", "ivf-pq", "shards"]
Parts = Iterable[tuple[np.ndarray, np.ndarray]]  # (ids, vectors) in the order of ids
VectorsOf = Callable[[Sequence[int]], tuple[np.ndarray, np.ndarray]]  # of those ids that are still there, ids growing

FLAT_UNTIL, HNSW_UNTIL = 100_000, 1_000_000
LEAST_TO_TRAIN = 1_000
LINKS, EF_CONSTRUCTION, EF_SEARCH = 32, 80, 128  # HNSW (Malkov and Yashunin 2018)
CODE_BYTES, PROBES = 64, 64  # IVF-PQ (Jegou et al. 2011)
MOST_SHARDS = 1024
RESCORED = 5  # times k that product quantization brings to the exact rescoring


def lists_for(count: int) -> int:
    """Of an inverted file over that many vectors."""
    return max(1, min(4096, int(4 * count**0.5)))


def training_size(count: int) -> int:
    """Vectors that train its centroids and codes."""
    return 64 * lists_for(count) + 256 * 100


def choose(count: int, asked: str = "auto") -> Kind:
    """Which index for how many vectors, by what `benchmarks/index.py` measured on two cores at 384 dimensions:

        vectors    index    build      file   a query  recall@10
        10,000     flat       0 s     15 MB    0.5 ms      1.000
                   hnsw     0.4 s     18 MB    0.1 ms      0.957
        100,000    flat       0 s    154 MB      6 ms      1.000
                   hnsw      10 s    182 MB    0.3 ms      0.995
                   ivf-pq    14 s     10 MB    0.3 ms      0.996
        1,000,000  hnsw     121 s   1816 MB    0.4 ms      0.967
                   ivf-pq   183 s     87 MB    1.2 ms      0.982

    Flat while exactness costs milliseconds; HNSW while its memory is bearable; then IVF-PQ, whose codes alone find 0.64 of the
    ten best at a million, so that the store rescores candidates by the true vectors: that is half of its 1.2 ms. Shards are on
    disk and never chosen by size: see mmgen.stores.shards.

    Args:
        asked: auto, flat, hnsw, ivf-pq, shards, or shards:N for a number of them.

    Raises:
        BadRequest: `asked` is no index.
    """
    if shards_asked(asked) is not None:
        return "shards"
    if asked not in ("auto", "flat", "hnsw", "ivf-pq"):
        raise BadRequest(f"index {asked!r} is unknown; it can be auto, flat, hnsw, ivf-pq, shards or shards:N")
    if asked == "auto":
        return "flat" if count <= FLAT_UNTIL else "hnsw" if count <= HNSW_UNTIL else "ivf-pq"
    return "flat" if asked == "ivf-pq" and count < LEAST_TO_TRAIN else asked  # type: ignore[return-value]


def shards_asked(asked: str) -> int | None:
    """How many shards on disk, 0 for as many as suit the size; None for another index. Raises BadRequest."""
    name, colon, number = asked.partition(":")
    if name != "shards":
        return None
    if colon and not (number.isascii() and number.isdigit() and 1 <= int(number) <= MOST_SHARDS):
        raise BadRequest(f"index {asked!r} has no number of shards; write shards:N with N from 1 to {MOST_SHARDS:,}")
    return int(number or 0)


def code_bytes(dimension: int) -> int:
    """Of a vector, by product quantization: what divides `dimension`."""
    return next(size for size in (CODE_BYTES, 48, 32, 16, 8, 4, 2, 1) if dimension % size == 0)


class VectorIndex:
    """Inner product over unit vectors. `ids[p]` is the passage at position p; removed ones are masked until a rebuild.

    Searches may run side by side; `add` and `remove` may not run beside anything.
    """

    def __init__(self, dimension: int, kind: Kind = "flat") -> None:
        self.dimension, self.kind = dimension, kind
        self.stamp = (-1, 0)  # the commit it stands at: generation, token
        self.trained = 0  # vectors it was laid out for
        self.ids = np.empty(0, dtype=np.int64)
        self.removed = np.empty(0, dtype=bool)
        self.gone = 0  # how many are removed
        self.faiss: Any = None

    def __len__(self) -> int:
        return len(self.ids) - self.gone

    @property
    def last_id(self) -> int:
        """The largest id that was ever added; ids grow."""
        return int(self.ids[-1]) if len(self.ids) else 0

    @classmethod
    def build(cls, dimension: int, kind: Kind, count: int, parts: Callable[[], Parts]) -> VectorIndex:
        """An index laid out for `count` vectors; `parts` is called twice where it has to be trained first."""
        index = cls(dimension, kind)
        if count:
            index._lay_out(count, parts)
        for ids, vectors in parts():
            index.add(ids, vectors)
        return index

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """`ids` grow and are larger than all before; `vectors`: (N, D) float32."""
        if not len(ids):
            return
        if self.faiss is None:
            self._lay_out(len(ids), lambda: [(ids, vectors)])
        self.faiss.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self.ids = np.concatenate((self.ids, np.asarray(ids, dtype=np.int64)))
        self.removed = np.concatenate((self.removed, np.zeros(len(ids), dtype=bool)))

    def remove(self, ids: Sequence[int]) -> None:
        """Masks them; unknown ids are ignored."""
        if len(ids) and len(self.ids):
            self.removed |= np.isin(self.ids, np.asarray(ids, dtype=np.int64))
            self.gone = int(self.removed.sum())

    def stale(self, asked: str = "auto") -> bool:
        """Whether so much was removed, or added since training, that a rebuild pays off."""
        outgrown = self.kind == "ivf-pq" and len(self.ids) > 4 * self.trained
        return outgrown or self.gone > max(1000, len(self.ids) // 4)

    def search(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None, vectors_of: VectorsOf | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` nearest of each query.

        Args:
            vectors: (Q, D) float32.
            k: how many.
            allowed: ids that may be found; None: all.
            vectors_of: gives the true vectors, for rescoring what product quantization found.

        Returns:
            scores (Q, K) and ids (Q, K), best first, K <= k; id -1 where there are fewer.
        """
        if self.faiss is None or not len(self):
            return np.empty((len(vectors), 0), np.float32), np.empty((len(vectors), 0), np.int64)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        rescored = self.kind == "ivf-pq" and vectors_of is not None
        wanted = min(len(self), RESCORED * k if rescored else k)
        scores, positions = self.faiss.search(vectors, wanted, params=self._parameters(self._keep(allowed), wanted))
        found = np.where(positions >= 0, self.ids[positions], -1)
        if rescored:
            assert vectors_of is not None
            scores, found = _rescore(vectors, found, vectors_of)
        return scores[:, :k], found[:, :k]

    def save(self, path: Path) -> None:
        """Atomically writes `path`: FAISS's bytes, the ids (negative: removed), the facts, their length, a checksum."""
        import faiss

        if self.faiss is None:
            return
        facts = {
            "stamp": self.stamp,
            "kind": self.kind,
            "dimension": self.dimension,
            "count": len(self.ids),
            "trained": self.trained,
        }
        told = json.dumps(facts).encode()
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        for left in path.parent.glob(f"{path.name}.*.new"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink(missing_ok=True)
        try:
            faiss.write_index(self.faiss, str(fresh))
            with fresh.open("r+b") as file:
                digest = hashlib.file_digest(file, "sha256")
                signed = np.where(self.removed, -self.ids, self.ids).astype("<i8")
                for piece in (signed.tobytes(), told, len(told).to_bytes(4, "little")):
                    digest.update(piece)
                    file.write(piece)
                file.write(digest.digest())
                file.flush()
                os.fsync(file.fileno())  # whole on disk before it takes the old one's name
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, dimension: int) -> VectorIndex | None:
        """What `save` wrote, or None where it is missing, torn or damaged."""
        import faiss

        try:
            with path.open("rb") as file:
                facts, end = _facts(file)
                if facts["dimension"] != dimension or not _whole(file):
                    return None
                index = cls(dimension, facts["kind"])
                index.stamp, index.trained = tuple(facts["stamp"]), facts["trained"]
                file.seek(end - 8 * facts["count"])
                signed = np.frombuffer(file.read(8 * facts["count"]), dtype="<i8")
                index.ids, index.removed = np.abs(signed), signed < 0
                index.gone = int(index.removed.sum())
                file.seek(0)
                index.faiss = faiss.read_index(faiss.PyCallbackIOReader(file.read, 1 << 20))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # RuntimeError is faiss's own
            return None
        return index if index.faiss.ntotal == len(index.ids) else None

    def _lay_out(self, count: int, parts: Callable[[], Parts]) -> None:
        import faiss

        self.trained = count
        if self.kind == "flat":
            self.faiss = faiss.IndexFlatIP(self.dimension)
        elif self.kind == "hnsw":
            self.faiss = faiss.IndexHNSWFlat(self.dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
            self.faiss.hnsw.efConstruction = EF_CONSTRUCTION
        else:
            size = code_bytes(self.dimension)
            bits = 8 if count >= 256 * 39 else 4  # 39 vectors a centroid are FAISS's least
            quantizer = faiss.IndexFlatIP(self.dimension)
            self.faiss = faiss.IndexIVFPQ(quantizer, self.dimension, lists_for(count), size, bits, faiss.METRIC_INNER_PRODUCT)
            self.faiss.cp.min_points_per_centroid = 1
            self.faiss.train(sample(parts(), count, most=training_size(count), dimension=self.dimension))

    def _keep(self, allowed: np.ndarray | None) -> np.ndarray | None:
        """(N,) bool of what may be found, or None for everything."""
        if allowed is None:
            return ~self.removed if self.gone else None
        return np.isin(self.ids, allowed) & ~self.removed

    def _parameters(self, keep: np.ndarray | None, wanted: int) -> Any:
        """Searches wider where only a part may be found."""
        import faiss

        selector, share = None, 1.0
        if keep is not None:
            selector = faiss.IDSelectorBitmap(np.packbits(keep, bitorder="little"))
            share = max(float(keep.mean()), 1e-3)
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(sel=selector, efSearch=int(max(EF_SEARCH, 2 * wanted) / share))
        if self.kind == "ivf-pq":
            return faiss.SearchParametersIVF(sel=selector, nprobe=min(self.faiss.nlist, int(PROBES / share)))
        return faiss.SearchParameters(sel=selector)


def stamp_and_count(path: Path) -> tuple[tuple[int, int], int]:
    """Of a saved index, unchecked: the commit it stands at, and how many vectors; (-1, 0), 0 where there is none."""
    try:
        with path.open("rb") as file:
            facts, _ = _facts(file)
            return tuple(facts["stamp"]), int(facts["count"])
    except (OSError, ValueError, KeyError, TypeError):
        return (-1, 0), 0


def _facts(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """What stands at the end of a saved index, and where that begins."""
    end = file.seek(-36, os.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    begin = file.seek(end - length)
    return json.loads(file.read(length)), begin


def _whole(file: BinaryIO) -> bool:
    """Whether the last 32 bytes are the checksum of all before."""
    left, digest = file.seek(-32, os.SEEK_END), hashlib.sha256()
    expected = file.read()
    file.seek(0)
    while left and (piece := file.read(min(left, 1 << 20))):
        digest.update(piece)
        left -= len(piece)
    return digest.digest() == expected


def sample(parts: Parts, count: int, most: int, dimension: int) -> np.ndarray:
    """At most about `most` vectors (M, D), evenly spread over the parts."""
    step, none = max(1, count // most), np.empty((0, dimension), np.float32)
    return np.ascontiguousarray(np.concatenate([none, *(vectors[::step] for _, vectors in parts)]), dtype=np.float32)


def _rescore(queries: np.ndarray, found: np.ndarray, vectors_of: VectorsOf, rows: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """True scores for what was found, best first; what is not there any more becomes -1."""
    scores, ids = np.full(found.shape, -np.inf, dtype=np.float32), np.full(found.shape, -1)
    for first in range(0, len(queries), rows):
        some = found[first : first + rows]
        known, vectors = vectors_of(np.unique(some[some >= 0]).tolist())
        if len(known):
            at = np.minimum(np.searchsorted(known, some), len(known) - 1)
            real = known[at] == some
            true = np.einsum("qd,qkd->qk", queries[first : first + rows], vectors[at])
            scores[first : first + rows] = np.where(real, true, -np.inf)
            ids[first : first + rows] = np.where(real, some, -1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
