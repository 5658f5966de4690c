"""A shard on disk: IVF-PQ codes and the true vectors, memory-mapped; candidates of the codes are rescored exactly.

IVF-PQ: Jegou et al. 2011. What a search reads is the lists it probes and the candidates' vectors: the operating system keeps
of both what fits, and gives it up when memory is short. In memory for good are the centroids and the ids' tables alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest, NotFound, StoreError

CODES, VECTORS, IDS, FACTS = "codes.faiss", "vectors.bin", "ids.bin", "facts.json"
PROBES = 32
"""Lists that a query reads."""
CANDIDATES = 200
"""Found by the codes, of which the best `k` by their true vectors are the answer."""
SORTED_BYTES = 2**26
"""Of vectors that are read at once for rescoring."""


class DiskIndex:
    """A folder made by `building.build`. Threads may search at once; `remove` may not run beside them.

    Raises NotFound, or StoreError for one that is torn.
    """

    def __init__(self, folder: Path, probes: int = PROBES, candidates: int = CANDIDATES) -> None:
        """`probes`: lists read a query; `candidates`: rescored a query."""
        import faiss

        if min(probes, candidates) < 1:
            raise BadRequest(f"probes are {probes} and candidates {candidates}; both must be above 0")
        self.folder, self.probes, self.candidates = folder, probes, candidates
        try:
            facts = json.loads((folder / FACTS).read_text())
            self.dimension, self.count = int(facts["dimension"]), int(facts["count"])
            self.ids = _mapped(folder / IDS, "int64", (self.count,))
            self.vectors = _mapped(folder / VECTORS, facts["dtype"], (self.count, self.dimension))
            self.faiss: Any = faiss.read_index(str(folder / CODES), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except FileNotFoundError as why:
            raise NotFound(f"there is no index at {folder} ({Path(why.filename).name} is missing); build it") from None
        except (OSError, ValueError, KeyError, RuntimeError) as why:  # RuntimeError is faiss's own
            raise StoreError(f"index {folder} is damaged ({str(why).splitlines()[0]}); build it again") from None
        self.removed: np.ndarray | None = None  # (N,) bool of what is masked, once something is
        self.gone = 0  # how many are
        if self.faiss.ntotal != self.count:
            raise StoreError(f"index {folder} has {self.faiss.ntotal:,} codes for {self.count:,} vectors; build it again")

    def __len__(self) -> int:
        return self.count - self.gone

    def remove(self, ids: Sequence[int]) -> None:
        """Masks them, where ids grow in the file; unknown ones are ignored."""
        places = self._places(np.unique(np.asarray(ids, np.int64)))
        if len(places):
            removed = np.zeros(self.count, bool) if self.removed is None else self.removed
            removed[places] = True
            self.removed, self.gone = removed, int(removed.sum())

    def search(self, vectors: np.ndarray, k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(Q, D) float32 -> true inner products (Q, K) and ids (Q, K), best first, -1 where there are fewer; K <= k.

        `allowed`: ids that may be found, where ids grow in the file; more lists are probed for few. None: all.
        """
        import faiss

        keep = self._keep(allowed)
        if not len(self) or (keep is not None and not keep.any()):
            return np.empty((len(vectors), 0), np.float32), np.empty((len(vectors), 0), np.int64)
        vectors = np.ascontiguousarray(vectors, np.float32)
        wanted = min(self.count, max(k, self.candidates))
        selector = None if keep is None else faiss.IDSelectorBitmap(np.packbits(keep, bitorder="little"))
        share = 1.0 if keep is None else max(float(keep.mean()), 1e-3)
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=min(self.faiss.nlist, int(self.probes / share)))
        _, places = self.faiss.search(vectors, wanted, params=parameters)
        scores = np.full(places.shape, -np.inf, np.float32)
        rows = max(1, SORTED_BYTES // (4 * wanted * self.dimension))
        for first in range(0, len(vectors), rows):
            some = places[first : first + rows]
            needed, at = np.unique(some, return_inverse=True)  # in the file's order, each once
            true = np.asarray(self.vectors[np.maximum(needed, 0)], np.float32)
            products = np.einsum("qd,qkd->qk", vectors[first : first + rows], true[at.reshape(some.shape)])
            scores[first : first + rows] = np.where(some >= 0, products, -np.inf)
        known = np.where(places >= 0, self.ids[np.maximum(places, 0)], -1)
        order = np.lexsort((known, -scores), axis=1)[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(known, order, 1)

    def _keep(self, allowed: np.ndarray | None) -> np.ndarray | None:
        """(N,) bool of what may be found, or None for everything."""
        if allowed is None:
            return None if self.removed is None else ~self.removed
        keep = np.zeros(self.count, bool)
        keep[self._places(np.unique(np.asarray(allowed, np.int64)))] = True
        return keep if self.removed is None else keep & ~self.removed

    def _places(self, ids: np.ndarray) -> np.ndarray:
        """Where those of the ids stand that are in it."""
        if not self.count:
            return np.empty(0, np.int64)
        places: np.ndarray = np.minimum(np.searchsorted(self.ids, ids), self.count - 1)
        there: np.ndarray = places[self.ids[places] == ids]
        return there


def _mapped(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Of a file, unless there is nothing in it to map."""
    return np.memmap(path, dtype, "r", shape=shape) if shape[0] else np.empty(shape, dtype)
