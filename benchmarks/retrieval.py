"""Retrieval quality on BEIR SciFact: bm25, dense and hybrid through our own store, beside the published figures.

python benchmarks/retrieval.py DATA [--model embedded:minilm] [--cache FOLDER]
python benchmarks/retrieval.py DATA --tune QA
DATA has corpus.jsonl.gz, queries.jsonl.gz, qrels_test.tsv and qrels_train.tsv. A document is one passage, title and text.
`--tune` shows how the fusion was chosen, on anything but SciFact's test queries: its training queries, and the questions of QA
(squadshifts/ and nq_open_oracle/), where the passage to find is the one that a question was asked about.
"""

import argparse
import gzip
import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen.clients.encoder import EncoderClient
from mmgen.config import RuntimeConfig
from mmgen.interfaces import Document, Passage
from mmgen.models.encoders.prompts import Side
from mmgen.runtime import Runtime
from mmgen.stores import fusion
from mmgen.stores.documents import DocumentStore

PUBLISHED = {"bm25": "0.679 (BEIR, Thakur et al. 2021)", "dense": "0.645 (all-MiniLM-L6-v2, MTEB)"}
QA = ("squadshifts/new_wiki", "squadshifts/amazon", "squadshifts/reddit", "nq_open_oracle/nq_open_oracle")
DEPTH = 100
Scores = Mapping[int, float]


@dataclass
class Task:
    """What to search, what for, and which documents are right: passage number -> grade, numbers from 1."""

    name: str
    texts: list[str]
    queries: list[str]
    relevant: list[dict[int, int]]


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scifact(data: Path, split: str) -> Task:
    corpus = rows(data / "corpus.jsonl.gz")
    number = {row["_id"]: n for n, row in enumerate(corpus, 1)}
    relevant: dict[str, dict[int, int]] = {}
    for line in (data / f"qrels_{split}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(query, {})[number[document]] = int(grade)
    asked = {row["_id"]: row["text"] for row in rows(data / "queries.jsonl.gz")}
    texts = [f"{row['title']} {row['text']}" for row in corpus]
    return Task(f"scifact {split}", texts, [asked[query] for query in relevant], list(relevant.values()))


def questions(data: Path, name: str, most: int = 1000) -> Task:
    asked = [row for row in rows(data / f"{name}.jsonl.gz") if row.get("context")]
    number: dict[str, int] = {}
    for row in asked:
        number.setdefault(row["context"], len(number) + 1)
    some = random.Random(0).sample(asked, min(most, len(asked)))
    return Task(name, list(number), [row["question"] for row in some], [{number[row["context"]]: 1} for row in some])


def embedded(encoder: EncoderClient, texts: Sequence[str], cache: Path, side: Side = "document") -> np.ndarray:
    """(N, D); kept in a file named by what went in."""
    prompt = encoder.prompts.of(side)
    key = hashlib.sha256(json.dumps([encoder.name, *([prompt] if prompt else []), *texts]).encode()).hexdigest()[:16]
    file = cache / f"{key}.npy"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        vectors = encoder.embed_text(texts, side=side)
        with file.open("wb") as out:
            np.save(out, vectors)
    return np.load(file)


def filled(path: Path, encoder: EncoderClient, texts: Sequence[str], vectors: np.ndarray) -> DocumentStore:
    """A store whose passages have the numbers 1 to N."""
    store = DocumentStore(path, encoder=encoder.name, dimension=encoder.dimension)
    documents = [Document(f"/{n}", text, "text", "") for n, text in enumerate(texts)]
    store.add_many((d, [Passage(d.text, 0, len(d.text))], v[None]) for d, v in zip(documents, vectors, strict=True))
    return store


def ndcg(ranking: Sequence[int], grades: Mapping[int, int], k: int = 10) -> float:
    """Normalized discounted cumulative gain with linear gains, as trec_eval has it (Jarvelin and Kekalainen 2002)."""
    gained = sum(grades.get(n, 0) / np.log2(rank + 1) for rank, n in enumerate(ranking[:k], 1))
    best = sum(grade / np.log2(rank + 1) for rank, grade in enumerate(sorted(grades.values(), reverse=True)[:k], 1))
    return float(gained / best)


def recall(ranking: Sequence[int], grades: Mapping[int, int], k: int = 100) -> float:
    return len(set(ranking[:k]) & set(grades)) / len(grades)


def measure(task: Task, encoder: EncoderClient, cache: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Method -> nDCG@10 and recall@100."""
    vectors = embedded(encoder, task.queries, cache, "query")
    out = {}
    with filled(folder / "store", encoder, task.texts, embedded(encoder, task.texts, cache)) as store:
        for method in ("bm25", "dense", "hybrid"):
            found = [store.search(q, v, 100, method=method) for q, v in zip(task.queries, vectors, strict=True)]
            rankings = [[hit.passage_id for hit in hits] for hits in found]
            pairs = list(zip(rankings, task.relevant, strict=True))
            out[method] = (float(np.mean([ndcg(*p) for p in pairs])), float(np.mean([recall(*p) for p in pairs])))
    return out


def candidates(task: Task, encoder: EncoderClient, cache: Path, folder: Path) -> list[tuple[Scores, Scores]]:
    """Of each query what the store fuses: BM25 and cosines of both methods' candidates."""
    out = []
    with filled(folder / "store", encoder, task.texts, embedded(encoder, task.texts, cache)) as store:
        for query, vector in zip(task.queries, embedded(encoder, task.queries, cache, "query"), strict=True):
            words = store.search(query, vector, DEPTH, method="bm25")
            near = store.search(vector=vector, k=DEPTH, method="dense")
            cosines = {hit.passage_id: hit.scores["dense"] for hit in [*near, *words]}
            out.append(({hit.passage_id: hit.score for hit in words}, cosines))
    return out


def fusions() -> dict[str, Callable[[Scores, Scores], dict[int, float]]]:
    """What is compared: reciprocal ranks, and weighted sums of scores scaled from their least possible or least found value."""
    ways: dict[str, Callable[[Scores, Scores], dict[int, float]]] = {}
    for k in (5, 10, 20, 30, 60):
        ways[f"reciprocal rank, k {k}"] = lambda words, near, k=k: fusion.reciprocal_rank(
            [list(words), sorted(near, key=lambda n: -near[n])[:DEPTH]], k
        )
    for weight in (step / 20 for step in range(2, 19)):
        ways[f"least possible, dense {weight}"] = lambda words, near, w=weight: fusion.hybrid(words, near, w)
        ways[f"least found, dense {weight}"] = lambda words, near, w=weight: fusion.weighted(
            fusion.scaled(near), fusion.scaled(words), w
        )
    return ways


def tune(tasks: Sequence[Task], encoder: EncoderClient, cache: Path) -> None:
    """Prints nDCG@10 of every fusion on every task; the best mean last."""
    found = []
    for task in tasks:
        with tempfile.TemporaryDirectory() as folder:
            found.append(candidates(task, encoder, cache, Path(folder)))
    means = {}
    print(f"{'nDCG@10':32}" + "".join(f"{task.name.split('/')[-1]:>16}" for task in tasks) + f"{'mean':>10}")
    for name, way in fusions().items():
        figures = []
        for task, pairs in zip(tasks, found, strict=True):
            fused = [way(*pair) for pair in pairs]
            rankings = [sorted(scores, key=lambda n, s=scores: -s[n]) for scores in fused]
            figures.append(float(np.mean([ndcg(*p) for p in zip(rankings, task.relevant, strict=True)])))
        means[name] = float(np.mean(figures))
        print(f"{name:32}" + "".join(f"{figure:16.4f}" for figure in figures) + f"{means[name]:10.4f}")
    best = max(means, key=lambda name: means[name])
    print(f"best mean: {best} ({means[best]:.4f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="embedded:minilm")
    parser.add_argument("--tune", type=Path, metavar="QA", help="compare fusions on SciFact's training queries and these sets")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mmgen-retrieval", help="keeps the vectors")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Runtime(RuntimeConfig(home=Path(name))) as rt:
        encoder = rt.encoder(args.model)
        if args.tune:
            tasks = [scifact(args.data, "train"), *(questions(args.tune, source) for source in QA)]
            tune(tasks, encoder, args.cache)
            return
        task = scifact(args.data, "test")
        print(f"{task.name}: {len(task.texts)} documents, {len(task.queries)} queries, {encoder.name}")
        print(f"{'method':8}{'nDCG@10':>10}{'recall@100':>12}  published nDCG@10")
        for method, (gain, share) in measure(task, encoder, args.cache, Path(name)).items():
            print(f"{method:8}{gain:10.4f}{share:12.4f}  {PUBLISHED.get(method, '')}")


if __name__ == "__main__":
    main()
