"""Vectors in FAISS: a cache of what SQLite holds. Knows ids and vectors; whatever it loses is built again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmgen.errors import BadRequest

Kind = Literal["flat", "hnsw", "ivf-pq"]
VectorsOf = Callable[[Sequence[int]], np.ndarray]

FLAT_UNTIL, HNSW_UNTIL = 200_000, 1_000_000


def choose(count: int) -> Kind:
    """Which index for how many vectors.

    Flat is exact and builds at the speed of memory: up to 200,000 x 384 a query takes some tens of milliseconds on two cores.
    HNSW answers in about a millisecond but builds slowly; beyond a million its memory is what hurts, and product
    quantization (Jegou et al. 2011) with exact rescoring takes over. `benchmarks/index.py` measures all three.
    """
    return "flat" if count <= FLAT_UNTIL else "hnsw" if count <= HNSW_UNTIL else "ivf-pq"


class VectorIndex:
    """Inner product over unit vectors. `ids[p]` is the passage at position p; removed ones are masked until a rebuild."""

    def __init__(self, dimension: int, kind: Kind = "flat") -> None:
        if kind not in ("flat", "hnsw", "ivf-pq"):
            raise BadRequest(f"index {kind!r} is unknown; it can be auto, flat, hnsw or ivf-pq")
        self.dimension, self.kind = dimension, kind
        self.ids = np.empty(0, dtype=np.int64)
        self.removed = np.empty(0, dtype=bool)
        self.generation = -1
        self.faiss: Any = None

    def __len__(self) -> int:
        return len(self.ids) - int(self.removed.sum())

    @property
    def last_id(self) -> int:
        """The largest id that was ever added; ids grow."""
        return int(self.ids[-1]) if len(self.ids) else 0

    @classmethod
    def build(cls, dimension: int, kind: Kind, count: int, parts: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]) -> VectorIndex:
        """From (ids, vectors) parts in the order of ids; `parts` is called twice where the index has to be trained first."""
        index = cls(dimension, kind)
        if kind == "ivf-pq":
            index._train(count, parts())
        for ids, vectors in parts():
            index.add(ids, vectors)
        return index

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """`ids` grow and are larger than all before; `vectors`: (N, D) float32."""
        if not len(ids):
            return
        if self.faiss is None:
            self._train(len(ids), [(ids, vectors)])
        self.faiss.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self.ids = np.concatenate((self.ids, np.asarray(ids, dtype=np.int64)))
        self.removed = np.concatenate((self.removed, np.zeros(len(ids), dtype=bool)))

    def remove(self, ids: Sequence[int]) -> None:
        """Masks them; unknown ids are ignored."""
        if len(ids) and len(self.ids):
            self.removed |= np.isin(self.ids, np.asarray(ids, dtype=np.int64))

    def worn(self) -> bool:
        """Whether so much was removed that building anew pays."""
        return int(self.removed.sum()) > max(1000, len(self.ids) // 4)

    def search(
        self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None, vectors_of: VectorsOf | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` nearest of each query.

        Args:
            vectors: (Q, D) float32.
            k: how many.
            allowed: ids that may be found; None: all.
            vectors_of: gives the true vectors of ids, for rescoring what product quantization found.

        Returns:
            scores (Q, K) and ids (Q, K), best first, K <= k; id -1 where there are fewer.
        """
        if self.faiss is None or not len(self):
            return np.empty((len(vectors), 0), np.float32), np.empty((len(vectors), 0), np.int64)
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        rescored = self.kind == "ivf-pq" and vectors_of is not None
        wanted = min(len(self.ids), max(10 * k, 100) if rescored else k)
        keep = ~self.removed if allowed is None else np.isin(self.ids, allowed) & ~self.removed
        scores, positions = self.faiss.search(vectors, wanted, params=self._parameters(keep, wanted))
        found = np.where(positions >= 0, self.ids[positions], -1)
        if rescored:
            assert vectors_of is not None
            scores, found = _rescore(vectors, found, vectors_of)
        return scores[:, :k], found[:, :k]

    def save(self, path: Path) -> None:
        """Replaces the files at `path` (.faiss, .ids.npy, .json) one by one; the checksums in the last tell a torn set."""
        import faiss

        if self.faiss is None:
            return
        _replace(path.with_suffix(".faiss"), lambda fresh: faiss.write_index(self.faiss, str(fresh)))
        _replace(path.with_suffix(".ids.npy"), lambda fresh: np.save(fresh, np.where(self.removed, -self.ids, self.ids)))
        facts = {
            "generation": self.generation,
            "kind": self.kind,
            "dimension": self.dimension,
            "count": len(self.ids),
            "sha256": [_digest(path.with_suffix(suffix)) for suffix in (".faiss", ".ids.npy")],
        }
        _replace(path.with_suffix(".json"), lambda fresh: fresh.write_text(json.dumps(facts)))

    @classmethod
    def load(cls, path: Path, dimension: int) -> VectorIndex | None:
        """What `save` wrote, or None where anything is missing, torn or damaged."""
        import faiss

        try:
            facts = json.loads(path.with_suffix(".json").read_text())
            if facts["dimension"] != dimension:
                return None
            if facts["sha256"] != [_digest(path.with_suffix(suffix)) for suffix in (".faiss", ".ids.npy")]:
                return None
            index = cls(dimension, facts["kind"])
            signed = np.load(path.with_suffix(".ids.npy"), allow_pickle=False)
            index.ids, index.removed = np.abs(signed), signed < 0
            index.faiss = faiss.read_index(str(path.with_suffix(".faiss")))
            index.generation = facts["generation"]
            return index if index.faiss.ntotal == len(index.ids) == facts["count"] else None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, BadRequest):  # RuntimeError is faiss's own
            return None

    def _train(self, count: int, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        import faiss

        if self.kind == "flat":
            self.faiss = faiss.IndexFlatIP(self.dimension)
        elif self.kind == "hnsw":
            self.faiss = faiss.IndexHNSWFlat(self.dimension, 32, faiss.METRIC_INNER_PRODUCT)
            self.faiss.hnsw.efConstruction = 80
        else:
            lists = max(1, min(4096, int(4 * count**0.5)))
            bytes_each = next(n for n in (64, 48, 32, 16, 8, 4, 2, 1) if self.dimension % n == 0)
            bits = 8 if count >= 256 * 39 else 4
            quantizer = faiss.IndexFlatIP(self.dimension)
            self.faiss = faiss.IndexIVFPQ(
                quantizer, self.dimension, lists, bytes_each, bits, faiss.METRIC_INNER_PRODUCT
            )
            self.faiss.cp.min_points_per_centroid = 1
            self.faiss.train(_sample(parts, count, most=64 * lists + 256 * 100))

    def _parameters(self, keep: np.ndarray, wanted: int) -> Any:
        import faiss

        selector = None
        if not keep.all():
            self._bits = np.packbits(keep, bitorder="little")  # faiss keeps a pointer to it
            selector = faiss.IDSelectorBitmap(self._bits)
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(64, 2 * wanted))
        if self.kind == "ivf-pq":
            return faiss.SearchParametersIVF(sel=selector, nprobe=min(self.faiss.nlist, 32))
        return faiss.SearchParameters(sel=selector)


def _sample(parts: Iterable[tuple[np.ndarray, np.ndarray]], count: int, most: int) -> np.ndarray:
    """At most about `most` vectors, evenly spread over the parts."""
    step = max(1, count // most)
    return np.ascontiguousarray(np.concatenate([vectors[::step] for _, vectors in parts]), dtype=np.float32)


def _rescore(queries: np.ndarray, found: np.ndarray, vectors_of: VectorsOf) -> tuple[np.ndarray, np.ndarray]:
    scores = np.full(found.shape, -np.inf, dtype=np.float32)
    for row, ids in enumerate(found):
        real = ids >= 0
        if real.any():
            scores[row, real] = vectors_of(ids[real].tolist()) @ queries[row]
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """The new file is whole on disk before it takes the old one's name."""
    fresh = path.with_name(f"{path.stem}.{os.getpid()}.new{path.suffix}")
    try:
        write(fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
