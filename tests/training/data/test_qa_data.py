import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmgen import hub
from mmgen.errors import BadRequest, NotFound
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.training.data.qa_data import (
    Corpus,
    Question,
    answer_tokens,
    plan_batches,
    plan_epoch,
    read_questions,
    titles_of,
    without_overlap,
)

LAMP = "The lamp was lit in 1823 by Augustin Fresnel, and it shone for thirty kilometres over the sea. " * 4
TEA = "Tea came to Japan with monks, who drank it to stay awake through the long nights of their prayers. " * 4


def question(number: int, context: str, answer: str) -> Question:
    return Question(str(number), f"T{number}", "What was it?", context, [answer], [context.index(answer)], "a")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(hub.resolve("embedded:minilm") / "tokenizer.json")


@pytest.fixture
def corpus(tokenizer: Tokenizer) -> Corpus:
    questions = [question(0, LAMP, "Augustin Fresnel"), question(1, TEA, "monks"), question(2, LAMP, "1823")] * 5
    corpus = Corpus.build(questions, tokenizer)
    vectors = np.eye(2, dtype=np.float32)
    corpus.find_negatives(vectors[list(corpus.context_of)], vectors)
    return corpus


def test_negatives_hold_no_answer(corpus: Corpus) -> None:
    assert corpus.contexts == [LAMP, TEA]
    assert corpus.negatives[:3] == [[1], [0], [1]]


def test_windows_hold_the_answer_or_are_marked(corpus: Corpus) -> None:
    examples = plan_epoch(corpus, random.Random(0), window=20, share={}, negatives=0.9, longest=8)
    positive = [e for e in examples if e.start >= 0 and not e.wrong]
    assert len(positive) == 15 and len(examples) > 20
    for e in positive:
        assert e.first <= e.start <= e.end < e.last <= e.first + 20
        spans = corpus.context_tokens[e.context].spans
        text = corpus.contexts[e.context][spans[e.start][0] : spans[e.end][1]]
        assert text == corpus.questions[e.question].answers[0]
    for e in examples:
        if e.start < 0 or e.wrong:
            spans = corpus.context_tokens[e.context].spans
            seen = corpus.contexts[e.context][spans[e.first][0] : spans[e.last - 1][1]]
            assert corpus.questions[e.question].answers[0] not in seen


def test_altered_questions_keep_what_is_plausible_but_wrong(tokenizer: Tokenizer) -> None:
    asked = [question(0, LAMP, "Augustin Fresnel"), question(1, TEA, "monks")]
    changed = [[replace(asked[0], text="What wasn't it?", kind="negation")], [replace(asked[1], kind="removed", starts=[-1])]]
    corpus = Corpus.build(asked, tokenizer, changed)
    assert (corpus.asked, corpus.read, len(corpus.questions)) == (2, 2, 4)
    examples = plan_epoch(corpus, random.Random(0), window=20, share={}, negatives=0, longest=8, altered=1.0)
    plausible, without = (next(e for e in examples if e.question == n) for n in (2, 3))
    assert plausible.wrong and plausible.first <= plausible.start <= plausible.end < plausible.last
    assert without.start == -1 or without.wrong
    assert all(not e.wrong for e in examples if e.question < 2)


def test_a_plan_is_drawn_from_its_seed(corpus: Corpus) -> None:
    def drawn(seed: int) -> list[object]:
        return list(plan_epoch(corpus, random.Random(seed), 20, {}, 0.5, 8))

    assert drawn(1) == drawn(1) != drawn(2)


def test_batches_keep_their_budget_and_lose_nothing(corpus: Corpus) -> None:
    rng = random.Random(0)
    examples = plan_epoch(corpus, rng, window=60, share={}, negatives=0.5, longest=8) * 20
    batches = plan_batches(examples, corpus, 700, rng)
    assert sorted(map(repr, (e for b in batches for e in b))) == sorted(map(repr, examples))
    for batch in batches:
        longest = max(e.size() + len(corpus.question_tokens[e.question].ids) + e.end - e.start + 4 for e in batch)
        assert longest * len(batch) <= 700
    with pytest.raises(BadRequest, match="batch_tokens is 100"):
        plan_batches(examples, corpus, 100, rng)


def test_answer_tokens_cover_the_answer(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(LAMP)
    start = LAMP.index("Augustin Fresnel")
    first, last = answer_tokens(tokens, start, "Augustin Fresnel") or (0, 0)
    assert LAMP[tokens.spans[first][0] : tokens.spans[last][1]] == "Augustin Fresnel"


def test_titles_split_is_fixed_and_disjoint() -> None:
    questions = [question(n, LAMP, "1823") for n in range(50)]
    reported, development = titles_of(questions, 0.1), titles_of(questions, 0.1, skip=0.1)
    assert len(reported) == len(development) == 5
    assert reported.isdisjoint(development)
    assert titles_of(questions[::-1], 0.1) == reported


def test_overlapping_passages_are_left_out() -> None:
    held = question(0, "Before it. " + LAMP, "1823")
    assert without_overlap([question(1, LAMP, "1823"), question(2, TEA, "monks")], [held])[0].context == TEA


def test_reading(tmp_path: Path) -> None:
    row = {"id": "1", "title": "T", "question": "q?", "context": "c", "answers": ["c"], "answer_starts": [0]}
    with gzip.open(tmp_path / "few.jsonl.gz", "wt") as file:
        file.write(json.dumps(row) + "\n")
    assert read_questions(tmp_path, "few") == [Question("1", "T", "q?", "c", ["c"], [0], "few")]
    with pytest.raises(NotFound, match=r"none\.jsonl\.gz does not exist; give --data"):
        read_questions(tmp_path, "none")
