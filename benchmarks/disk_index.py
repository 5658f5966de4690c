"""Vector search on disk: shards of IVF-PQ codes, memory-mapped, rescored by the true vectors; recall, cost and memory last.

python benchmarks/disk_index.py [--size 10000000] [--dimension 64] [--shards 4] [--probes 16,32,64] [--folder FOLDER]
Makes SIZE clustered unit vectors from a seed (10 million of 64 dimensions take 1.3 GB as float16 and 0.4 GB of codes), builds
the shards, and asks QUERIES others of the same kind. The truth is every product in float32. One thread searches, so that times
are those of a core. `anonymous` is memory that cannot be given back; `mapped` are pages of files, which the system takes back
when it needs them. The last line extrapolates a query to 10^9 vectors, with its assumptions in docs/howto/share-a-store.md.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import faiss
import numpy as np
from index import clustered

from mmgen.stores.shards import building
from mmgen.stores.shards.disk_index import DiskIndex
from mmgen.stores.shards.side_by_side import SideBySide

K, QUERIES, SEED, ASKED = 10, 200, 1, 2
BILLION = 10**9


def parts(size: int, dimension: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    first = 0
    for rows in clustered(size, dimension, SEED):
        yield np.arange(first, first + len(rows)), rows
        first += len(rows)


def truth(size: int, dimension: int, queries: np.ndarray) -> np.ndarray:
    """(Q, K) ids by every product."""
    best = faiss.IndexFlatIP(dimension)
    scores, ids = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for numbers, rows in parts(size, dimension):
        best.reset()
        best.add(rows)
        more, places = best.search(queries, K)
        scores, ids = np.concatenate((scores, more), 1), np.concatenate((ids, numbers[places]), 1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
    return ids


def memory() -> dict[str, float]:
    """MiB of this process."""
    told = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(told[key].split()[0]) / 1024 for name, key in (("anonymous", "RssAnon"), ("mapped", "RssFile"))}


def asked(folders: list[Path], queries: np.ndarray, expected: np.ndarray, probes: int) -> dict[str, float]:
    """Recall, and processor and wall milliseconds of a query alone."""
    together = SideBySide([DiskIndex(folder, probes) for folder in folders], threads=1)
    walls, cpu, right = [], time.process_time(), 0
    for query, ids in zip(queries, expected, strict=True):
        began = time.perf_counter()
        _, found = together.search(query[None], K)
        walls.append(1000 * (time.perf_counter() - began))
        right += len(set(found[0].tolist()) & set(ids.tolist()))
    spent = 1000 * (time.process_time() - cpu) / len(queries)
    together.close()
    return {"probes": probes, "recall": right / expected.size, "cpu_ms": spent, "median_ms": median(walls), **memory()}


def billion(row: dict[str, float], size: int, lists: int, shards: int) -> str:
    """A query's processor time over shards of the size that was measured, and over the machines that hold them."""
    needed = BILLION * shards / size
    return (
        f"  10^9 vectors: {needed:,.0f} shards of {size // shards:,} ({lists:,} lists each), "
        f"{row['cpu_ms'] * needed / shards:,.0f} ms of processor time a query, "
        f"{row['cpu_ms'] / shards:.2f} ms where each shard has a core of its own"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--lists", type=int, help="of each shard; default: 2 sqrt(N) of its N")
    parser.add_argument("--code-bytes", type=int, default=32)
    parser.add_argument("--probes", default="16,32,64")
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    faiss.omp_set_num_threads(1)
    lists = args.lists or int(2 * (args.size / args.shards) ** 0.5)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="mmgen-shards-"))
    try:
        began = time.process_time()
        folders = building.build(
            folder, args.dimension, lambda: parts(args.size, args.dimension), shards=args.shards, lists=lists,
            code_bytes=args.code_bytes,
        )  # fmt: skip
        told = {"size": args.size, "dimension": args.dimension, "shards": args.shards, "lists": lists}
        build = {"build_cpu_s": time.process_time() - began, **memory()}
        disk = sum(file.stat().st_size for path in folders for file in path.iterdir()) / 2**30
        print(
            f"  built: {build['build_cpu_s']:.0f} s of a core, {disk:.2f} GiB, {build['anonymous']:,.0f} MiB anonymous",
            flush=True,
        )
        queries = next(clustered(QUERIES, args.dimension, ASKED))
        expected = truth(args.size, args.dimension, queries)
        rows = []
        for probes in map(int, args.probes.split(",")):
            asked(folders, queries[:20], expected[:20], probes)  # pages that are there afterwards
            rows.append(asked(folders, queries, expected, probes))
            print(
                "  " + "  ".join(f"{name} {value:,.3f}".rstrip("0").rstrip(".") for name, value in rows[-1].items()), flush=True
            )
            print(billion(rows[-1], args.size, lists, args.shards), flush=True)
        if args.json:
            args.json.write_text(json.dumps({**told, **build, "disk_gib": disk, "queries": rows}, indent=1))
    finally:
        if args.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
