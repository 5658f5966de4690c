"""The store's vector search against raw FAISS on the same index in one run: build, save, load, search, memory; ratios last.

python benchmarks/index.py [--size 1000000] [--kind auto] [--folder FOLDER] [--build-raw]
python benchmarks/index.py --rules flat:10000 flat:100000 hnsw:10000 hnsw:100000 ivf-pq:100000
Makes a store of SIZE random clustered vectors (a million take 5 GB of disk), searched by `DocumentStore.search_many`; with
--folder the store is kept and used again by the next run, also with another --kind.
--rules measures indexes in memory: the figures behind `choose` in mmgen/stores/faiss_index.py.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil

from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore
from mmgen.stores.faiss_index import (
    CODE_BYTES,
    EF_CONSTRUCTION,
    EF_SEARCH,
    LINKS,
    PROBES,
    RESCORED,
    VectorIndex,
    choose,
    lists_for,
    training_size,
)

CLUSTERS, BLOCK, K = 1000, 20_000, 10
BATCHES = {1: 300, 64: 20}  # queries at once -> how often it is measured,
LONGEST = 20.0  # or as often as goes into so many seconds


def clustered(size: int, dimension: int, seed: int) -> Iterator[np.ndarray]:
    """Unit vectors in blocks: a random centre each, and noise that is strong in few directions, as in real embeddings."""
    shape = np.random.default_rng(0)
    centres = shape.standard_normal((CLUSTERS, dimension), dtype=np.float32)
    rotation = np.linalg.qr(shape.standard_normal((dimension, dimension)))[0].astype(np.float32)
    spectrum = np.arange(1, dimension + 1, dtype=np.float32) ** -0.5
    noise = rotation * (spectrum / np.sqrt(np.mean(spectrum**2)))[:, None]
    rng = np.random.default_rng(seed)
    for first in range(0, size, BLOCK):
        count = min(BLOCK, size - first)
        rows = rng.standard_normal((count, dimension), dtype=np.float32) @ noise + centres[rng.integers(0, CLUSTERS, count)]
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def exact(size: int, dimension: int, queries: np.ndarray) -> np.ndarray:
    """Ids, from 1, of the K nearest of each query."""
    best, ids = np.full((len(queries), K), -2, np.float32), np.zeros((len(queries), K), np.int64)
    for number, rows in enumerate(clustered(size, dimension, 1)):
        scores = np.concatenate((best, queries @ rows.T), axis=1)
        names = np.concatenate(
            (ids, np.broadcast_to(np.arange(len(rows)) + number * BLOCK + 1, (len(queries), len(rows)))), axis=1
        )
        order = np.argpartition(-scores, K, axis=1)[:, :K]
        best, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(names, order, 1)
    return ids


def share_found(found: np.ndarray, right: np.ndarray) -> float:
    """Recall@K."""
    return float(np.mean([len(set(f) & set(r)) / K for f, r in zip(found[:, :K].tolist(), right.tolist(), strict=True)]))


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def medians(ways: dict[str, Callable[[np.ndarray], Any]], queries: np.ndarray, batch: int) -> dict[str, float]:
    """Milliseconds a call; the ways take turns on the same queries, the first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    began = time.perf_counter()
    for turn in range(BATCHES[batch] + 1):
        if turn > 5 and time.perf_counter() - began > LONGEST:
            break
        at = turn * batch % (len(queries) - batch + 1)
        for name, work in ways.items():
            times[name].append(seconds(lambda work=work, at=at: work(queries[at : at + batch])))
    return {name: 1000 * statistics.median(values[1:]) for name, values in times.items()}


def fill(store: DocumentStore, size: int, dimension: int) -> None:
    for number, rows in enumerate(clustered(size, dimension, 1)):
        lines = [f"passage {number * BLOCK + n:08}" for n in range(len(rows))]
        passages = [Passage(line, n * 17, n * 17 + 16) for n, line in enumerate(lines)]
        store.add(Document(f"/{number}", "\n".join(lines), "text", ""), passages, rows)


def parameters(kind: str) -> Any:
    """What the store searches an index of that kind with."""
    if kind == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=EF_SEARCH)
    return faiss.SearchParametersIVF(nprobe=PROBES) if kind == "ivf-pq" else None


def raw_build(kind: str, size: int, dimension: int) -> Any:
    """By FAISS alone, from memory."""
    rows = np.concatenate(list(clustered(size, dimension, 1)))
    began = time.perf_counter()
    name = {"flat": "Flat", "hnsw": f"HNSW{LINKS}", "ivf-pq": f"IVF{lists_for(size)},PQ{CODE_BYTES}"}[kind]
    index = faiss.index_factory(dimension, name, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        index.hnsw.efConstruction = EF_CONSTRUCTION
    if kind == "ivf-pq":
        index.train(rows[:: max(1, size // training_size(size))])
    index.add(rows)
    print(f"raw build from memory        {time.perf_counter() - began:10.1f} s")


def rules(pairs: list[str], dimension: int) -> None:
    """Each KIND:SIZE in memory: what `choose` goes by."""
    print(f"{'index':8}{'vectors':>10}{'build s':>10}{'file MB':>10}{'1 query ms':>12}{'64, ms each':>12}{'recall@10':>11}")
    for pair in pairs:
        kind, size = pair.split(":")[0], int(pair.split(":")[1])
        rows = np.concatenate(list(clustered(size, dimension, 1)))
        ids, queries = np.arange(1, size + 1), next(clustered(2000, dimension, 2))
        began = time.perf_counter()
        index = VectorIndex.build(dimension, kind, size, lambda ids=ids, rows=rows: [(ids, rows)])  # type: ignore[arg-type]
        build = time.perf_counter() - began

        def search(some: np.ndarray, index: VectorIndex = index, rows: np.ndarray = rows) -> tuple[np.ndarray, np.ndarray]:
            return index.search(some, K, None, lambda wanted: (np.array(wanted), rows[np.array(wanted) - 1]))

        times = {batch: medians({"ours": search}, queries, batch)["ours"] for batch in BATCHES}
        recall = share_found(search(queries[:200])[1], exact(size, dimension, queries[:200]))
        with tempfile.TemporaryDirectory() as folder:
            index.save(Path(folder) / "v")
            megabytes = (Path(folder) / "v").stat().st_size / 1e6
        print(
            f"{kind:8}{size:10,}{build:10.1f}{megabytes:10.1f}{times[1]:12.2f}{times[64] / 64:12.2f}{recall:11.3f}", flush=True
        )


def resident(way: str, folder: Path, kind: str) -> None:
    """Prints the resident MB of this fresh process, before and after it loaded the index and searched it."""
    process, queries = psutil.Process(), next(clustered(64, DocumentStore(folder, readonly=True).dimension, 2))
    faiss.IndexFlatIP(4).search(np.ones((1, 4), np.float32), 1)  # the libraries are in memory before it counts
    before = process.memory_info().rss
    if way == "raw":
        index = faiss.read_index(str(folder / "vectors.faiss"))
        search = lambda: index.search(queries, K, params=parameters(kind))  # noqa: E731
    else:
        store = DocumentStore(folder, readonly=True)
        search = lambda: store.search_many(queries, K)  # noqa: E731
    for _ in range(5):
        search()
    print(json.dumps([before / 1e6, process.memory_info().rss / 1e6]))


def memory(way: str, folder: Path, kind: str) -> tuple[float, float]:
    command = [sys.executable, __file__, "--resident", way, "--folder", str(folder), "--kind", kind]
    before, after = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return before, after


def compare(folder: Path, size: int, dimension: int, asked: str) -> None:
    """Fills the store where it is not yet, and measures it against FAISS on the bytes of the store's own index."""
    with DocumentStore(folder, encoder="random", dimension=dimension, index=asked) as store:
        if store.empty():
            print(f"add to the store             {seconds(lambda: fill(store, size, dimension)):10.1f} s")
        size, kind = store.count(), choose(store.count(), asked)
        print(f"build from the store         {seconds(store.refresh):10.1f} s, {kind}, {size:,} x {dimension}, with saving")
    queries = next(clustered(2000, dimension, 2))
    loaded: list[Any] = []
    raw_load = seconds(lambda: loaded.append(faiss.read_index(str(folder / "vectors.faiss"))))
    raw = loaded[0]
    print(f"save, raw faiss              {seconds(lambda: faiss.write_index(raw, str(folder / 'raw.faiss'))):10.2f} s")
    (folder / "raw.faiss").unlink()
    with DocumentStore(folder, readonly=True, index=asked) as store:
        load = seconds(lambda: store.search_many(queries[:1], K))
        print(f"load, raw faiss              {raw_load:10.2f} s")
        print(f"load, store, checksum and all{load:10.2f} s")
        right = exact(size, dimension, queries[:200])
        print(f"recall@{K} store {share_found(store.search_many(queries[:200], K)[1], right):.3f}", end="")
        print(f", raw {share_found(raw.search(queries[:200], K, params=parameters(kind))[1] + 1, right):.3f}")
        ways: dict[str, Callable[[np.ndarray], Any]] = {
            "raw": lambda some: raw.search(some, K, params=parameters(kind)),
            "raw, candidates": lambda some: raw.search(some, RESCORED * K, params=parameters(kind)),
            "store": lambda some: store.search_many(some, K),
        }
        if kind != "ivf-pq":
            del ways["raw, candidates"]
        times = {batch: medians(ways, queries, batch) for batch in BATCHES}
    for name in ways:
        print(f"{name:20}" + "".join(f"  batch {batch}: {times[batch][name]:8.3f} ms" for batch in BATCHES))
    usage = {way: memory(way, folder, kind) for way in ("raw", "store")}
    for way, (before, after) in usage.items():
        print(f"memory, {way:8} {after - before:8.1f} MB for the index, {after:8.1f} MB the process")
    ratio = (usage["store"][1] - usage["store"][0]) / (usage["raw"][1] - usage["raw"][0])
    print(f"memory, store / raw: {ratio:.2f}x of the index, {usage['store'][1] / usage['raw'][1]:.2f}x of the process")
    for batch in BATCHES:
        for name in [name for name in ways if name != "store"]:
            print(f"batch {batch}, store / {name}: {times[batch]['store'] / times[batch][name]:.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--kind", default="auto", choices=["auto", "flat", "hnsw", "ivf-pq"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--build-raw", action="store_true", help="also time FAISS's own build")
    parser.add_argument("--rules", nargs="+", metavar="KIND:SIZE", help="only that, in memory, such as flat:10000 hnsw:10000")
    parser.add_argument("--resident", choices=["raw", "store"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.resident:
        resident(args.resident, args.folder, args.kind)
    elif args.rules:
        rules(args.rules, args.dimension)
    else:
        if args.build_raw:
            raw_build(choose(args.size, args.kind), args.size, args.dimension)
        with tempfile.TemporaryDirectory() as folder:
            compare(args.folder or Path(folder), args.size, args.dimension, args.kind)


if __name__ == "__main__":
    main()
