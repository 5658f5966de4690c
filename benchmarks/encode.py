"""Encoding speed: sentence-transformers and mmgen on the same weights and texts in one run; ratios last.

python benchmarks/encode.py CORPUS.jsonl.gz [--texts 1000] [--repeats 3]
CORPUS has a title and a text a line, such as BEIR SciFact's. The peer's `encode` and mmgen's `embed_text` (through the engine, as
every caller uses it) take turns; medians are quoted.
"""

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from mmgen import hub
from mmgen.runtime import Runtime


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="embedded:minilm")
    args = parser.parse_args()
    from sentence_transformers import SentenceTransformer

    with gzip.open(args.corpus, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][: args.texts]
    texts = [f"{row['title']} {row['text']}" for row in rows]
    peer = SentenceTransformer(str(hub.resolve(args.model)), device="cpu")
    with Runtime() as rt:
        ours, int8 = rt.encoder(args.model), rt.encoder(args.model + "#int8")
        ways: dict[str, Callable[[], Any]] = {
            "sentence-transformers fp32": lambda: peer.encode(texts, normalize_embeddings=True),
            "mmgen fp32": lambda: ours.embed_text(texts),
            "mmgen int8": lambda: int8.embed_text(texts),
        }
        for work in (peer.encode, ours.embed_text, int8.embed_text):
            work(texts[:64])
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.repeats):
            for name, work in ways.items():
                times[name].append(seconds(work))
        worst = float((ours.embed_text(texts) * peer.encode(texts, normalize_embeddings=True)).sum(1).min())
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{len(texts)} texts, {torch.get_num_threads()} threads, least cosine to the peer {worst:.6f}")
    for name, median in medians.items():
        print(f"{name:28} {median:7.2f} s  {len(texts) / median:7.1f} texts/s")
    base = medians["sentence-transformers fp32"]
    print(f"mmgen fp32 / sentence-transformers: {base / medians['mmgen fp32']:.2f}x")
    print(f"mmgen int8 / sentence-transformers: {base / medians['mmgen int8']:.2f}x")


if __name__ == "__main__":
    main()
