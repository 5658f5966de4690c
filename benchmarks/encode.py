"""Encoding speed: sentence-transformers and mmgen on the same weights and texts in one run; ratios last.

python benchmarks/encode.py DATA [--texts 500] [--repeats 3] [--quality]
DATA is BEIR SciFact's folder. The peer's `encode` (its default backend, with the fastest of the batch sizes 16, 32 and 64) and
mmgen's `embed_text` (through the engine, as every caller uses it) take turns over a sample of the corpus, each in fp32 and
bf16; medians are quoted. `--quality` encodes the whole corpus in every precision and prints nDCG@10 on the test queries.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from retrieval import Task, ndcg, scifact
from setting import setting

from mmgen import hub
from mmgen.clients.encoder import EncoderClient
from mmgen.runtime import Runtime

BATCHES = (16, 32, 64)
PRECISIONS = ("fp32", "bf16", "int8")


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fastest_batch(peer: Any, texts: Sequence[str]) -> int:
    times = {size: seconds(lambda size=size: peer.encode(texts, batch_size=size)) for size in BATCHES}  # type: ignore[misc]
    return min(times, key=times.__getitem__)


def peers(args: argparse.Namespace, texts: Sequence[str]) -> dict[str, Callable[[], np.ndarray]]:
    """sentence-transformers in fp32 and bf16, each with its fastest batch size."""
    from sentence_transformers import SentenceTransformer

    ways: dict[str, Callable[[], np.ndarray]] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        peer = SentenceTransformer(str(hub.resolve(args.model)), device="cpu", model_kwargs={"torch_dtype": dtype})
        peer.encode(texts[:64])
        size = fastest_batch(peer, texts[:128])
        options = {"batch_size": size, "normalize_embeddings": True, "show_progress_bar": False}
        ways[f"sentence-transformers {name}, batch_size {size}"] = partial(peer.encode, texts, **options)
    return ways


def speed(args: argparse.Namespace, texts: Sequence[str], ours: dict[str, EncoderClient]) -> None:
    for encoder in ours.values():
        encoder.embed_text(texts[:64])
    others = peers(args, texts)
    ways = {**others, **{f"mmgen {name}": partial(encoder.embed_text, texts) for name, encoder in ours.items()}}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, work in ways.items():
            times[name].append(seconds(work))
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = next(iter(ways.values()))()
    print(f"{len(texts)} texts, {args.repeats} repeats in turn; cosine is the mean to the first")
    for name, median in medians.items():
        cosine = float((ways[name]() * reference).sum(1).mean())
        print(f"{name:44} {median:7.2f} s  {len(texts) / median:7.1f} texts/s  cosine {cosine:.5f}")
    fp32, best = next(iter(medians.values())), min(medians[name] for name in others)
    for name in ours:
        took = medians[f"mmgen {name}"]
        print(f"mmgen {name} / sentence-transformers fp32: {fp32 / took:.2f}x, / its best: {best / took:.2f}x (target 1.5x)")


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
        rt.encoder(args.model)
        chosen = rt.host.precisions[args.model] or "fp32"
        print(setting(mmgen=f"{chosen} by choice, and as each line says", peers="fp32 and bf16"))
        ours = {name: rt.encoder(f"{args.model}#{name}") for name in PRECISIONS}
        if args.quality:
            found = {name: quality(encoder, task) for name, encoder in ours.items()}
            print("nDCG@10 on SciFact test: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
            print(
                f"loss of bf16 {found['fp32'] - found['bf16']:.4f} (at most 0.001), of int8 {found['fp32'] - found['int8']:.4f}"
            )
        else:
            speed(args, random.Random(0).sample(task.texts, min(args.texts, len(task.texts))), ours)


if __name__ == "__main__":
    main()
