"""Encoding speed: sentence-transformers, OpenVINO and mmgen on the same weights and texts in one run; ratios last.

python benchmarks/encode.py DATA [--tokens 16384] [--repeats 3] [--lengths 16 64 256 mixed] [--processor-time] [--quality]
DATA is BEIR SciFact's folder. Abstracts are cut to so many tokens; "mixed" has as many of 16 as of 64 and 256. Of each peer
its fastest way is found first (precision, batch size, for OpenVINO its hint too; encode_peers.py), for each set of texts by
itself. Then the peers and mmgen in every precision take turns; medians are quoted. All of them begin with texts: mmgen's
`embed_text` goes through the engine, as every caller uses it. `--quality` encodes the whole corpus in every precision and
prints nDCG@10 on the test queries.
"""

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import encode_peers
import numpy as np
from encode_peers import Way
from retrieval import Task, ndcg, scifact
from setting import setting

from mmgen import hub
from mmgen.clients.encoder import EncoderClient
from mmgen.runtime import Runtime

PRECISIONS = ("fp32", "bf16", "int8")
LENGTHS = ("16", "64", "256", "mixed")
TARGET = 1.5


def cut(texts: Sequence[str], length: str, tokens: int, encoder: EncoderClient) -> list[str]:
    """Texts of so many tokens each, special ones counted, and about `tokens` in all."""
    sizes = [16, 64, 256] if length == "mixed" else [int(length)]
    out, room = list[str](), tokens
    for text, size in zip(itertools.cycle(texts), itertools.cycle(sizes), strict=False):
        spans = encoder.token_spans(text)[: size - 2]
        out.append(text[: spans[-1][1]])
        room -= len(spans) + 2
        if room <= 0:
            return out
    raise AssertionError


def fastest(ways: dict[str, Way], texts: Sequence[str], seconds: Callable[[Callable[[], object]], float]) -> dict[str, Way]:
    """Of each library its fastest way for these texts."""
    times: dict[str, float] = {}
    for name, way in ways.items():
        way(texts[: len(texts) // 4])
        times[name] = seconds(partial(way, texts))
    libraries = sorted({name.split()[0] for name in ways})
    best = [min((name for name in ways if name.startswith(library)), key=times.__getitem__) for library in libraries]
    return {name: ways[name] for name in best}


def speed(
    texts: list[str], peers: dict[str, Way], ours: dict[str, EncoderClient], args: argparse.Namespace
) -> dict[str, float]:
    """Ratios of mmgen's precisions to each library's best."""
    clock = time.process_time if args.processor_time else time.perf_counter

    def seconds(work: Callable[[], object]) -> float:
        began = clock()
        work()
        return clock() - began

    best = fastest(peers, texts, seconds)
    ways: dict[str, Way] = {**best, **{f"mmgen {name}": encoder.embed_text for name, encoder in ours.items()}}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            times[name].append(seconds(partial(way, texts)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = ours["fp32"].embed_text(texts)
    for name, median in medians.items():
        cosine = float((ways[name](texts) * reference).sum(1).mean())
        print(f"  {name:52} {median:7.2f} s  {len(texts) / median:7.1f} texts/s  cosine {cosine:.5f}")
    return {f"{name} / {peer.split()[0]}": medians[peer] / medians[f"mmgen {name}"] for name in ours for peer in best}


def quality(encoder: EncoderClient, task: Task) -> float:
    """Mean nDCG@10 of the test queries over the whole corpus."""
    scores = encoder.embed_text(task.queries) @ encoder.embed_text(task.texts).T
    rankings = np.argsort(-scores, axis=1, kind="stable")[:, :10] + 1
    return float(np.mean([ndcg(ranking.tolist(), grades) for ranking, grades in zip(rankings, task.relevant, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokens", type=int, default=16384, help="of each set of texts, about")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lengths", nargs="+", default=LENGTHS, choices=LENGTHS)
    parser.add_argument("--processor-time", action="store_true", help="beside other work, with one thread: not the wall's time")
    parser.add_argument("--model", default="embedded:minilm")
    parser.add_argument("--quality", action="store_true", help="nDCG@10 on the whole corpus instead of speed")
    args = parser.parse_args()
    task = scifact(args.data, "test")
    with Runtime() as rt:
        rt.encoder(args.model)
        chosen = rt.host.precisions[args.model] or "fp32"
        print(
            setting(
                mmgen=f"{chosen} by choice, and as each line says", peers="its fastest way of fp32 and bf16, as each line says"
            )
        )
        ours = {name: rt.encoder(f"{args.model}#{name}") for name in PRECISIONS}
        if args.quality:
            found = {name: quality(encoder, task) for name, encoder in ours.items()}
            print("nDCG@10 on SciFact test: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
            print(
                f"loss of bf16 {found['fp32'] - found['bf16']:.4f} (at most 0.001), of int8 {found['fp32'] - found['int8']:.4f}"
            )
        else:
            peers, ratios = encode_peers.ways(hub.resolve(args.model)), dict[str, dict[str, float]]()
            corpus = random.Random(0).sample([text for text in task.texts if len(text) > 1200], 500)
            for length in args.lengths:
                texts = cut(corpus, length, args.tokens, ours["fp32"])
                print(
                    f"{length} tokens, {len(texts)} texts, {args.repeats} repeats in turn; cosine is the mean to mmgen's fp32"
                )
                ratios[length] = speed(texts, peers, ours, args)
            for length, found in ratios.items():
                told = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in found.items() if not name.startswith("fp32"))
                print(f"{length}: {told} (target {TARGET}x)")


if __name__ == "__main__":
    main()
