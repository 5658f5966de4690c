"""Builds shards on disk in bounded memory: one training, then a shard at a time."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest
from mmgen.stores.shards.disk_index import CODES, FACTS, IDS, VECTORS
from mmgen.stores.shards.side_by_side import shards_of

log = logging.getLogger(__name__)
Parts = Iterable[tuple[np.ndarray, np.ndarray]]
"""(N,) int64 ids and (N, D) float32 vectors, some at a time."""
ShardOf = Callable[[np.ndarray, int], np.ndarray]  # ids, number of shards -> (N,) numbers of shards
PER_LIST = 64
"""Vectors that train a centroid."""
LEAST = 16
"""Vectors that codes of 4 bits need."""
ROUNDS = 10
"""Of k-means."""
BLOCK = 50_000
"""Vectors in memory at once."""


def build(
    folder: Path,
    dimension: int,
    parts: Callable[[], Parts],
    *,
    shards: int = 1,
    lists: int = 4096,
    code_bytes: int = 32,
    dtype: str = "float16",
    shard: ShardOf = shards_of,
    sample: np.ndarray | None = None,
    seed: int = 0,
) -> list[Path]:
    """Writes the shards' folders, in `folder`, where none is yet: a searcher may have them open.

    In memory are at most the training vectors (lists * PER_LIST), a block, and one shard's codes.

    Args:
        parts: called once; ids that grow let a search find only some.
        lists: of the inverted file of each shard, about 4 sqrt(N) of a shard's N.
        code_bytes: of a vector; divides `dimension`.
        dtype: of the vectors that rescore: float16, or float32 where the last bits count.
        shard: where a vector belongs; default: by a hash of its id.
        sample: (M, D) vectors that train; default: the first of `parts`, which should then be drawn as all are.

    Raises BadRequest for a number that does not fit, fewer vectors than lists, or a folder that holds shards.
    """
    if min(shards, lists) < 1:
        raise BadRequest(f"shards is {shards} and lists {lists}; give at least 1 of each")
    if code_bytes < 1 or dimension % code_bytes or dtype not in ("float16", "float32"):
        raise BadRequest(
            f"code_bytes is {code_bytes} and dtype {dtype} for {dimension} dimensions; "
            "code_bytes must divide them, dtype be float16 or float32"
        )
    if any(folder.glob(f"*/{FACTS}")):
        raise BadRequest(f"{folder} holds shards already; delete them, or give another folder")
    paths = folders(folder, shards)
    first, counts = _split(paths, dimension, parts(), 0 if sample is not None else lists * PER_LIST, np.dtype(dtype), shard)
    sample = first if sample is None else sample
    if len(sample) < max(lists, LEAST):
        most = f"; take at most {len(sample) // 39:,}" if len(sample) >= 39 else f", which need at least {LEAST}"
        raise BadRequest(f"{len(sample):,} vectors cannot train {lists:,} lists{most}")
    trained = _trained(sample, dimension, lists, code_bytes, seed)
    for path, count in zip(paths, counts, strict=True):
        _encode(path, trained, dimension, count, dtype)
    return paths


def folders(folder: Path, shards: int) -> list[Path]:
    """Of that many shards."""
    return [folder / f"shard-{number:04d}" for number in range(shards)]


def _split(
    folders: Sequence[Path], dimension: int, parts: Parts, most: int, dtype: np.dtype[Any], shard: ShardOf
) -> tuple[np.ndarray, list[int]]:
    """Writes ids and vectors of every shard -> the first `most` vectors, and how many each shard has."""
    kept, had, counts = list[np.ndarray](), 0, [0] * len(folders)
    with ExitStack() as stack:
        files = []
        for path in folders:
            path.mkdir(parents=True, exist_ok=True)
            (path / FACTS).unlink(missing_ok=True)  # until it is whole again
            files.append([stack.enter_context((path / name).open("wb")) for name in (IDS, VECTORS)])
        for ids, vectors in parts:
            if had < most:
                kept.append(vectors[: most - had].astype(np.float32))
                had += len(kept[-1])
            where = shard(ids, len(folders))
            for number, (names, rows) in enumerate(files):
                mine = where == number
                names.write(np.ascontiguousarray(ids[mine], np.int64).data)
                rows.write(np.ascontiguousarray(vectors[mine], dtype).data)
                counts[number] += int(mine.sum())
    return np.concatenate(kept) if kept else np.empty((0, dimension), np.float32), counts


def _trained(sample: np.ndarray, dimension: int, lists: int, code_bytes: int, seed: int) -> Any:
    import faiss

    bits = 8 if len(sample) >= 256 * 39 else 4  # 39 vectors a centroid are FAISS's least
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dimension), dimension, lists, code_bytes, bits, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.niter, index.cp.seed = 1, ROUNDS, seed
    index.pq.cp.min_points_per_centroid, index.pq.cp.niter = 1, ROUNDS
    index.train(np.ascontiguousarray(sample))
    return index


def _encode(folder: Path, trained: Any, dimension: int, count: int, dtype: str) -> None:
    """Codes of a shard, from the vectors that lie there."""
    import faiss

    log.info("encoding %d vectors of %s", count, folder)
    index = faiss.clone_index(trained)
    if count:
        vectors = np.memmap(folder / VECTORS, dtype, "r", shape=(count, dimension))
        for first in range(0, count, BLOCK):
            index.add(np.ascontiguousarray(vectors[first : first + BLOCK], np.float32))
    faiss.write_index(index, str(folder / CODES))
    for name in (CODES, IDS, VECTORS):
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())  # whole on disk before the facts say so
    (folder / FACTS).write_text(json.dumps({"dimension": dimension, "count": count, "dtype": dtype}))
