"""Documents a second into a store: one process, and Ray clusters of one and of two nodes with one core each.

    python benchmarks/cluster_add.py [--documents 600] [--words 400] [--repeats 1]

Rates are of passages between a fifth and the whole of them, so that starting and loading count for nothing; what those take
is told beside, and the rate from the call to its end. All sides run in turn on the same machine, each core of which a node
counts as its own.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.cluster.local_nodes import local_nodes
from mmgen.config import RuntimeConfig
from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime

if TYPE_CHECKING:
    from mmgen.library.document_indexing import IndexProgress

WORDS = (
    *("the", "lamp", "of", "a", "lighthouse", "was", "lit", "each", "evening", "and"),
    *("its", "keeper", "wrote", "ship", "wind", "tide", "fog", "bell", "oil", "glass"),
)


def documents(folder: Path, count: int, words: int) -> None:
    """Texts that are all different."""
    rng = random.Random(1)
    for number in range(count):
        said = [f"Page {number}."] + [" ".join(rng.choices(WORDS, k=12)).capitalize() + "." for _ in range(words // 12)]
        (folder / f"{number}.txt").write_text(" ".join(said))


def measured(folder: Path, count: int) -> tuple[float, float, float]:
    """Passages a second, seconds until a fifth of them was stored, and passages a second of the whole call."""
    seen: list[tuple[float, int, int]] = []

    def told(step: IndexProgress) -> None:
        seen.append((time.perf_counter(), step.passages, step.files))

    cluster = local_nodes(count) if count else nullcontext(None)
    with tempfile.TemporaryDirectory() as home, cluster as address:
        config = RuntimeConfig(home=Path(home) / "home", precision="safe", threads=1)
        with Runtime(config) as rt:
            library, began = DocumentLibrary.open(rt, Path(home) / "store"), time.perf_counter()
            report = library.add(folder, ray=address, progress=told)
            took = time.perf_counter() - began
            library.close()
    if report.skipped:
        raise SystemExit(f"{len(report.skipped)} files could not be read: {report.skipped[0]}")
    first = next(one for one in seen if one[1] >= report.passages / 5)
    last = next(one for one in seen if one[1] == report.passages)
    if first[1] == last[1]:
        raise SystemExit(f"all {report.passages} passages were stored at once, which tells no rate; give more --documents")
    return (last[1] - first[1]) / (last[0] - first[0]), first[0] - began, report.passages / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--words", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        documents(Path(folder), given.documents, given.words)
        rates: dict[int, list[float]] = {0: [], 1: [], 2: []}
        for _ in range(given.repeats):
            for count, found in rates.items():
                rate, until, whole = measured(Path(folder), count)
                found.append(rate)
                side = f"{count} nodes" if count else "no Ray"
                print(f"{side}: {rate:.1f} passages/s, a fifth after {until:.1f} s; {whole:.1f} passages/s in all", flush=True)
    none, one, two = (statistics.median(found) for found in rates.values())
    print(f"two nodes: {two / (2 * one):.2f} of twice one node, {two / (2 * none):.2f} of twice one process")


if __name__ == "__main__":
    main()
