"""After a pass: texts choose their tokens, searches take a step when all of their sequences were read, the rest ends."""

from typing import Any

import torch
from text_requests import text_request

from mmgen.engine.job import Job
from mmgen.runners import progress
from mmgen.runners.generation import CacheOperations, GenerationResult, TokenSequence, Vocabulary

VOCABULARY = Vocabulary(lambda ids: "".join(map(str, ids)), frozenset({9}))


class Forks(CacheOperations):
    def fork(self, branch: TokenSequence) -> TokenSequence:
        return TokenSequence(list(branch.ids))

    def drop(self, branch: TokenSequence) -> None:
        pass


def begun(**options: Any) -> Job:
    job = Job("text", text_request([1], 2, **options), seed=1)
    job.state = progress.DECODINGS[job.payload.params.strategy](job, VOCABULARY, Forks())
    return job


def scores(token: int) -> torch.Tensor:
    return torch.zeros(1, 10).index_fill(1, torch.tensor([token]), 5.0)


def test_a_text_ends_with_its_last_token() -> None:
    job = begun(strategy="greedy")
    for token in (4, 9):
        job.state.branches[0].logits = scores(token)
        assert [turn.branch.ids[-1] for turn in progress.choose([job])] == [token]
        progress.finish([job])
    result = job.future.result(0)
    assert isinstance(result, GenerationResult) and result.texts[0].ids == (4, 9)


def test_a_search_waits_for_all_of_its_sequences() -> None:
    job = begun(strategy="beam", beams=2)
    job.state.branches[0].logits = scores(4)
    assert progress.choose([job]) == []
    progress.finish([job])
    first, second = job.state.branches
    first.logits = scores(5)
    progress.finish([job])
    assert job.state.branches == [first, second], "one is not read"
    second.logits = scores(6)
    progress.finish([job])
    assert job.future.result(0).texts[0].ids == (4, 5)


def test_whose_step_fails_fails_alone() -> None:
    jobs = [begun(strategy="greedy"), begun(strategy="greedy")]
    for job in jobs:
        job.state.branches[0].logits = scores(9)
    jobs[0].state.branches[0].logits = torch.full((1, 10), float("nan"))
    progress.choose(jobs)
    progress.finish(jobs)
    assert [job.status for job in jobs] == ["failed", "done"]
