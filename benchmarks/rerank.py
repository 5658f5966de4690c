"""Whether a cross-encoder orders passages better than the hybrid search alone: MRR@5 and nDCG@10, by how much it counts.

python benchmarks/rerank.py --qa DATA/qa [--scifact DATA/retrieval/scifact] [--model embedded:rerank] [--most 100]
    [--passages 1000] [--depth 20]
Questions of the titles of SQuADShifts new_wiki that no recipe trains on, over the paragraphs of these and of the development
titles; of FairytaleQA's test stories, over their sections; SciFact's test queries, over its abstracts. The first 20 of the
hybrid search are read. "weight" is the share of the cross-encoder's score in what they are ordered by.
"""

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
from retrieval import Task, embedded, filled, ndcg, questions, scifact

from mmgen.clients.cross_encoder import CrossEncoderClient
from mmgen.clients.encoder import EncoderClient
from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime
from mmgen.stores import fusion
from mmgen.training.recipes.reader import ReaderRecipe, held_out

WEIGHTS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0)
Ranked = list[tuple[list[int], list[float], list[float]]]
"""Of each query the passages' numbers, their scores of the hybrid search, and of the cross-encoder."""


def unseen(data: Path) -> Task:
    """Questions to titles of new_wiki that are held out."""
    development, reported = held_out(ReaderRecipe(), data)
    texts = list(dict.fromkeys(q.context for q in [*reported, *development]))
    number = {text: n for n, text in enumerate(texts, 1)}
    return Task("new_wiki, held out", texts, [q.text for q in reported], [{number[q.context]: 1} for q in reported])


def some(task: Task, most: int, passages: int) -> Task:
    """Some of its queries, over the passages that answer them and others drawn beside these."""
    rng = random.Random(0)
    chosen = rng.sample(range(len(task.queries)), min(most, len(task.queries)))
    needed = {number for n in chosen for number in task.relevant[n]}
    others = [n for n in range(1, len(task.texts) + 1) if n not in needed]
    kept = sorted(needed | set(rng.sample(others, min(len(others), max(0, passages - len(needed))))))
    number = {old: new for new, old in enumerate(kept, 1)}
    relevant = [{number[old]: grade for old, grade in task.relevant[n].items()} for n in chosen]
    return Task(task.name, [task.texts[n - 1] for n in kept], [task.queries[n] for n in chosen], relevant)


def ranked(task: Task, encoder: EncoderClient, model: CrossEncoderClient, depth: int, cache: Path, folder: Path) -> Ranked:
    vectors, out = embedded(encoder, task.queries, cache, "query"), []
    with filled(folder / task.name.replace("/", "-"), encoder, task.texts, embedded(encoder, task.texts, cache)) as store:
        for query, vector in zip(task.queries, vectors, strict=True):
            hits = store.search(query, vector, depth, method="hybrid")
            scores = model.score(query, [hit.passage.text for hit in hits]).tolist()
            out.append(([hit.passage_id for hit in hits], [hit.score for hit in hits], scores))
    return out


def reciprocal_rank(ranking: list[int], grades: dict[int, int], k: int = 5) -> float:
    return next((1 / rank for rank, number in enumerate(ranking[:k], 1) if number in grades), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qa", type=Path, required=True)
    parser.add_argument("--scifact", type=Path)
    parser.add_argument("--model", default="embedded:rerank")
    parser.add_argument("--most", type=int, default=100, help="queries of each set, drawn by a fixed seed")
    parser.add_argument("--passages", type=int, default=1000, help="of each set, with those that answer")
    parser.add_argument("--depth", type=int, default=20, help="hits that are read")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mmgen-retrieval", help="keeps the vectors")
    parser.add_argument("--only", default="", help="the set whose name has this in it")
    args = parser.parse_args()
    tasks = [unseen(args.qa), questions(args.qa, "fairytaleqa/test")] + (
        [scifact(args.scifact, "test")] if args.scifact else []
    )
    with tempfile.TemporaryDirectory() as name, Runtime(RuntimeConfig(home=Path(name))) as rt:
        encoder, model = rt.encoder("embedded:minilm"), rt.cross_encoder(args.model)
        for task in (some(task, args.most, args.passages) for task in tasks if args.only in task.name):
            found = ranked(task, encoder, model, args.depth, args.cache, Path(name))
            print(f"{task.name}: {len(task.texts)} passages, {len(task.queries)} queries")
            for weight in WEIGHTS:
                orders = []
                for numbers, hybrid, read in found:
                    score = fusion.weighted(dict(enumerate(read)), fusion.scaled(dict(enumerate(hybrid)), 0.0), weight)
                    orders.append([numbers[n] for n in sorted(score, key=lambda n, s=score: -s[n])])
                first = np.mean([reciprocal_rank(*pair) for pair in zip(orders, task.relevant, strict=True)])
                gain = np.mean([ndcg(*pair) for pair in zip(orders, task.relevant, strict=True)])
                print(f"  weight {weight:4.2f}   MRR@5 {first:.4f}   nDCG@10 {gain:.4f}")


if __name__ == "__main__":
    main()
