"""How long a question takes in-process, warm, over a store of 1,000 passages: median and 95th percentile, by stage.

python benchmarks/ask.py [--qa DATA/qa] [--passages 1000] [--questions 60] [-k 5] [--reader embedded:reader] [--folder KEPT]
Paragraphs and questions come from DATA/qa/squadshifts/new_wiki.jsonl.gz; without --qa paragraphs are mixed from sentences of
assets/sample, and the questions are about those.
"""

import argparse
import gzip
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from mmgen.config import RuntimeConfig, assets_dir
from mmgen.ingest import loaders
from mmgen.ingest.sentences import sentences
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime

TARGET_MS = 200.0


def wiki(folder: Path) -> tuple[list[str], list[str]]:
    """Paragraphs and questions."""
    with gzip.open(folder / "squadshifts" / "new_wiki.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return list(dict.fromkeys(row["context"] for row in rows)), [row["question"] for row in rows]


def mixed(rng: random.Random) -> tuple[list[str], list[str]]:
    """Paragraphs of random sentences, as long as Wikipedia's, and questions that sentences could answer."""
    texts = [loaders.load(path).text for path in sorted((assets_dir() / "sample").iterdir())]
    parts = [" ".join(text[a:b].split()) for text in texts for a, b in sentences(text)]
    questions = [f"What is said of {' '.join(part.split()[:6])}?" for part in parts if len(part.split()) > 8]
    return [" ".join(rng.sample(parts, 7)) for _ in range(3000)], questions


def fill(rag: RagText, paragraphs: Iterator[str], wanted: int) -> int:
    """Adds paragraphs, ten to a document, until the store holds that many passages."""
    held, number = 0, 0
    while held < wanted:
        batch = [next(paragraphs) for _ in range(min(wanted - held, 100))]
        held += rag.add_text("\n\n".join(f"# Part {n}\n\n{text}" for n, text in enumerate(batch)), f"{number}.md").passages
        number += 1
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qa", type=Path)
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--reader", default="embedded:reader")
    parser.add_argument("--folder", type=Path, help="keeps the store here, and uses it as it is when it is there")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    paragraphs, questions = wiki(args.qa) if args.qa else mixed(rng)
    rng.shuffle(paragraphs)
    asked = rng.sample(questions, args.questions)
    with tempfile.TemporaryDirectory() as passing, Runtime(RuntimeConfig(reader=args.reader)) as rt:
        folder = args.folder or Path(passing) / "store"
        rag = RagText(rt, store=str(folder.resolve()))
        held = rag.library.readable().count() if folder.is_dir() else fill(rag, iter(paragraphs), args.passages)
        for question in asked[:3]:
            rag(question, k=args.k)
        answers, worked = [], []
        for question in asked:
            began = time.process_time()
            answers.append(rag(question, k=args.k))
            worked.append(1000 * (time.process_time() - began))
        reader = rt.reader().model
        tokens = [sum(map(len, reader.pairs(a.question, [hit.passage.text for hit in a.passages]))) for a in answers]
        rag.close()
    print(
        f"{held} passages, {len(asked)} questions, k {args.k}, {statistics.mean(tokens):.0f} tokens read a question, "
        f"{torch.get_num_threads()} threads, {sum(a.abstained for a in answers)} abstained"
    )
    for stage in answers[0].timings:
        times = sorted(answer.timings[stage] for answer in answers)
        p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
        print(f"{stage:10} median {statistics.median(times):7.1f} ms   p95 {p95:7.1f} ms")
    worked.sort()
    p95 = worked[min(len(worked) - 1, int(0.95 * len(worked)))]
    mean = statistics.mean(worked)
    print(f"processor  median {statistics.median(worked):7.1f} ms   p95 {p95:7.1f} ms   mean {mean:7.1f} ms, of all threads")
    median = statistics.median(answer.timings["total"] for answer in answers)
    print(f"median / target of {TARGET_MS:.0f} ms: {median / TARGET_MS:.2f}")


if __name__ == "__main__":
    main()
