"""How well follow-up questions are made to stand alone: against rewrites by hand, and by what is then retrieved.

python benchmarks/rewrite.py [--data CONVERSATIONS] [--split evaluation] [--topics 31-80] [--qa DATA/qa] [--retrieval]
--data: a folder with cast2019.jsonl.gz (TREC CAsT 2019: split, topic, turn, question, rewritten).
--retrieval: recall@5 over assets/sample with sample_conversations.jsonl, beside this file; asked, rewritten, and by hand.
--qa: the same over the paragraphs of squadshifts/new_wiki, with pairs of questions that share a name, which the second one
replaces by "it" or "they".
"""

import argparse
import gzip
import json
import random
import re
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

from mmgen.config import assets_dir
from mmgen.function_words import FUNCTION_WORDS
from mmgen.pipelines.rag.followups.phrases import noun_phrases, tokens
from mmgen.pipelines.rag.followups.rewriter import Turn, observe, rewrite
from mmgen.pipelines.rag.followups.topics import words_of
from mmgen.pipelines.rag.followups.tracker import Topics
from mmgen.pipelines.rag.word_overlap import fold
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime

SAMPLE = Path(__file__).with_name("sample_conversations.jsonl")
Asked = tuple[str, str, str, str]
"""A question as it was asked, as it was rewritten, as it should be, and the text that answers it."""


def bag(text: str, content: bool) -> Counter[str]:
    """Its words without case, possessive and plural s; `content`: those alone that are no function words."""
    words = [fold(word) for word in re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text)]
    return Counter(word for word in words if not content or word not in FUNCTION_WORDS)


def compare(rows: Sequence[dict], content: bool) -> None:
    """Prints the share of the added words by hand that are added, of wrong ones among ours, and of questions left alone."""
    conversations = defaultdict(list)
    for row in rows:
        conversations[row["topic"]].append(row)
    wanted = right = added = wrong = whole = left = 0
    times = []
    for turns in conversations.values():
        topics = Topics()
        for row in turns:
            start = time.perf_counter()
            made = rewrite(row["question"], topics)
            topics.observe(made.asked, made.text, made.used)
            times.append(1000 * (time.perf_counter() - start))
            before = bag(row["question"], content)
            hand, ours = bag(row["rewritten"], content) - before, bag(made.text, content) - before
            wanted, right = wanted + hand.total(), right + (hand & ours).total()
            added, wrong = added + ours.total(), wrong + (ours - hand).total()
            if not hand:
                whole, left = whole + 1, left + (not ours)
    kind = "content words" if content else "all words"
    print(
        f"{len(rows)} turns of {len(conversations)} topics, {kind}: {right / wanted:.3f} of {wanted} words added, "
        f"{wrong / max(1, added):.3f} of {added} added are wrong, {left} of {whole} whole questions left alone, "
        f"median {statistics.median(times):.2f} ms"
    )


def sample() -> Iterator[Asked]:
    """Conversations about assets/sample."""
    conversation, topics = None, Topics()
    for line in SAMPLE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["conversation"] != conversation:
            conversation, topics = row["conversation"], Topics()
        yield row["question"], rewrite(row["question"], topics).text, row["rewritten"], row["evidence"]
        observe(Turn(row["question"], row["answer"]), topics)


def pairs(rows: Sequence[dict]) -> Iterator[Asked]:
    """Second questions to a paragraph whose subject is a name in the first one."""
    by = defaultdict(list)
    for row in rows:
        by[row["context"]].append(row)
    for context, asked in by.items():
        for first, second in pairwise(asked):
            question = second["question"].strip()
            found = tokens(question)
            for phrase in noun_phrases(found, question):
                start, end = found[phrase.first].start, found[phrase.last - 1].end
                if phrase.name and phrase.role == "subject" and words_of(phrase.core) <= words_of(first["question"]):
                    short = question[:start] + ("they" if phrase.plural else "it") + question[end:]
                    topics = Topics()
                    observe(Turn(first["question"], first["answers"][0]), topics)
                    yield short, rewrite(short, topics).text, question, context
                    break


def recall(rag: RagText, asked: Sequence[Asked], k: int = 5) -> None:
    """Prints in how many cases one of the first k passages holds the text that answers."""
    figures = []
    for way in range(3):
        hits = [rag.library.search(row[way], k=k) for row in asked]
        texts = [[" ".join(hit.passage.text.split()) for hit in one] for one in hits]
        there = [any(" ".join(row[3].split())[:200] in text for text in one) for one, row in zip(texts, asked, strict=True)]
        figures.append(sum(there) / len(asked))
    leaning = sum(row[0] != row[2] for row in asked)
    print(
        f"recall@{k} of {len(asked)} questions, {leaning} of them leaning: as asked {figures[0]:.3f}, "
        f"rewritten {figures[1]:.3f}, by hand {figures[2]:.3f}; rewritten / by hand {figures[1] / figures[2]:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="evaluation")
    parser.add_argument("--topics", default="1-1000", help="first and last")
    parser.add_argument("--retrieval", action="store_true")
    parser.add_argument("--qa", type=Path)
    parser.add_argument("--most", type=int, default=200, help="pairs of --qa")
    args = parser.parse_args()
    if args.data:
        with gzip.open(args.data / "cast2019.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        first, last = map(int, args.topics.split("-"))
        rows = [row for row in rows if row["split"] == args.split and first <= row["topic"] <= last]
        for content in (True, False):
            compare(rows, content)
    with tempfile.TemporaryDirectory() as folder, Runtime() as rt:
        if args.retrieval:
            rag = RagText(rt, store=str(Path(folder) / "sample"))
            rag.add(assets_dir() / "sample")
            recall(rag, list(sample()))
            rag.close()
        if args.qa:
            with gzip.open(args.qa / "squadshifts" / "new_wiki.jsonl.gz", "rt", encoding="utf-8") as file:
                questions = [json.loads(line) for line in file]
            made = list(islice(pairs(questions), args.most))
            contexts = list(dict.fromkeys(row[3] for row in made))
            random.Random(0).shuffle(contexts)
            rag = RagText(rt, store=str(Path(folder) / "pairs"))
            rag.add_text("\n\n".join(f"# {n}\n\n{text}" for n, text in enumerate(contexts)), "paragraphs.md")
            recall(rag, made)
            rag.close()


if __name__ == "__main__":
    main()
