"""Encoding speed: sentence-transformers and mmgen on the same weights and texts in one run; ratios last.

python benchmarks/encode.py DATA [--texts 500] [--repeats 3] [--quality]
DATA is BEIR SciFact's folder. The peer's `encode` (its default backend, with the fastest of the batch sizes 16, 32 and 64) and
mmgen's `embed_text` (through the engine, as every caller uses it) take turns over a random sample of the corpus; medians are
quoted. `--quality` encodes the whole corpus in fp32 and int8 and prints nDCG@10 on the test queries.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from retrieval import Task, ndcg, scifact

from mmgen import hub
from mmgen.clients.encoder import EncoderClient
from mmgen.runtime import Runtime

BATCHES = (16, 32, 64)


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fastest_batch(peer: Any, texts: Sequence[str]) -> int:
    times = {size: seconds(lambda size=size: peer.encode(texts, batch_size=size)) for size in BATCHES}  # type: ignore[misc]
    return min(times, key=times.__getitem__)


def speed(args: argparse.Namespace, texts: Sequence[str], ours: EncoderClient, int8: EncoderClient) -> None:
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(hub.resolve(args.model)), device="cpu")
    for work in (peer.encode, ours.embed_text, int8.embed_text):
        work(texts[:64])
    size = fastest_batch(peer, texts[:128])
    ways: dict[str, Callable[[], np.ndarray]] = {
        f"sentence-transformers fp32, batch_size {size}": lambda: peer.encode(
            texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False
        ),
        "mmgen fp32": lambda: ours.embed_text(texts),
        "mmgen int8": lambda: int8.embed_text(texts),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, work in ways.items():
            times[name].append(seconds(work))
    base, fp32, low = (statistics.median(values) for values in times.values())
    reference, own, rounded = (work() for work in ways.values())
    print(f"least cosine to the peer: fp32 {(own * reference).sum(1).min():.6f}, int8 {(rounded * reference).sum(1).min():.4f}")
    print(f"{len(texts)} texts, {args.repeats} repeats in turn, {torch.get_num_threads()} threads")
    for name, median in zip(ways, (base, fp32, low), strict=True):
        print(f"{name:40} {median:7.2f} s  {len(texts) / median:7.1f} texts/s")
    print(f"mmgen fp32 / sentence-transformers fp32: {base / fp32:.2f}x (target 1.15x)")
    print(f"mmgen int8 / sentence-transformers fp32: {base / low:.2f}x (target 2x)")


def quality(encoder: EncoderClient, task: Task) -> float:
    """Mean nDCG@10 of the test queries over the whole corpus."""
    scores = encoder.embed_text(task.queries) @ encoder.embed_text(task.texts).T
    rankings = np.argsort(-scores, axis=1, kind="stable")[:, :10] + 1
    return float(np.mean([ndcg(ranking.tolist(), grades) for ranking, grades in zip(rankings, task.relevant, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="embedded:minilm")
    parser.add_argument("--quality", action="store_true", help="nDCG@10 on the whole corpus instead of speed")
    args = parser.parse_args()
    task = scifact(args.data, "test")
    with Runtime() as rt:
        ours, int8 = rt.encoder(args.model), rt.encoder(args.model + "#int8")
        if args.quality:
            full, low = quality(ours, task), quality(int8, task)
            print(f"nDCG@10 on SciFact test: fp32 {full:.4f}, int8 {low:.4f}, loss {full - low:.4f} (target at most 0.005)")
        else:
            speed(args, random.Random(0).sample(task.texts, min(args.texts, len(task.texts))), ours, int8)


if __name__ == "__main__":
    main()
