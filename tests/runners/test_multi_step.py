"""Several tokens in one call: the texts of a quantum a token, and who comes or is cancelled ends it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from block_models import whole_in_blocks
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.engine.uncontended import Uncontended
from mmgen.errors import BadWeights
from mmgen.models.cpu import build
from mmgen.runners.generation import FinishedText, TextRequest, Vocabulary
from mmgen.runners.multi_step import MOST
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

pytestmark = pytest.mark.skipif(build.library() is None, reason=f"there are no kernels here: {build.reason()}")
GREEDY = Sampling(temperature=0)


def decode(ids: Sequence[int]) -> str:
    return "".join(chr(65 + token) for token in ids)


@pytest.fixture(scope="module")
def lm() -> Iterator[Any]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield whole_in_blocks()


def written(
    lm: Any, *requests: TextRequest, several: bool, ends: frozenset[int] = frozenset()
) -> list[tuple[FinishedText, ...]]:
    """What comes of requests that are submitted together. `several`: tokens in one call; they are, if so, and not otherwise."""
    runner = TextRunner(lm, Vocabulary(decode, ends), memory=1 << 20)
    runner.multi_step.able = several
    with Engine({"text": runner}) as engine:
        engine.submit(Job("text", text_request([1], 2, GREEDY))).result(60)
        jobs = [Job("text", request, seed=3) for request in requests]
        handles = engine.call(lambda: None) or [engine.submit(job) for job in jobs]
        results = [handle.result(60).texts for handle in handles]
    assert (max(job.rounds for job in jobs) > 1) == several
    return results


PROMPTS = [[3, 4, 5], [20, 21], list(range(40))]


def test_texts_are_those_of_a_token_a_quantum(lm: Any) -> None:
    requests = [text_request(prompt, 40 + 9 * number, GREEDY) for number, prompt in enumerate(PROMPTS)]
    one = written(lm, *requests, several=False)
    assert written(lm, *requests, several=True) == one
    for request, expected in zip(requests, one, strict=True):
        assert written(lm, request, several=True) == [expected]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.7, top_p=0.8), Sampling(top_k=5), Sampling(min_p=0.1)])
def test_drawn_texts_take_their_numbers_in_order(lm: Any, sampling: Sampling) -> None:
    requests = [text_request(prompt, 40 + 9 * number, sampling, n=2) for number, prompt in enumerate(PROMPTS)]
    requests[1] = text_request(PROMPTS[1], 30, GREEDY)
    one = written(lm, *requests, several=False)
    assert written(lm, *requests, several=True) == one and one[0][0] != one[0][1]
    assert written(lm, requests[0], several=True) == one[:1]


def test_texts_end_where_they_end(lm: Any) -> None:
    [[whole]] = written(lm, text_request(PROMPTS[0], 40, GREEDY), several=False)
    stop = whole.text[10:12]
    request = text_request(PROMPTS[0], 40, GREEDY, stop=stop)
    assert written(lm, request, several=True) == written(lm, request, several=False)
    last = frozenset({whole.ids[20]})
    request = text_request(PROMPTS[0], 40, GREEDY, n=2)
    ended = written(lm, request, several=True, ends=last)
    assert ended == written(lm, request, several=False, ends=last)
    assert ended[0][0].finish_reason == "stop" and ended[0][0] == ended[0][1]


OTHERS = [{"repetition_penalty": 1.2}, {"logprobs": 1}, {"lookup": 4}, {"logit_bias": {3: 1.0}}]


@pytest.mark.parametrize("more", [*OTHERS, {"temperature": 0.7, "typical_p": 0.9}])
def test_what_needs_more_than_logits_takes_a_quantum_each(lm: Any, more: dict[str, Any]) -> None:
    request = text_request(PROMPTS[0], 12, GREEDY, **more)
    job, runner = Job("text", request, seed=3), TextRunner(lm, Vocabulary(decode, frozenset()), memory=1 << 20)
    with Engine({"text": runner}) as engine:
        engine.submit(job).result(60)
    assert job.rounds == 1


def step(runner: TextRunner, jobs: Sequence[Job], alone: Uncontended | None) -> list[int]:
    runner.uncontended = alone
    runner.step(jobs)
    return [job.rounds for job in jobs]


def test_a_step_says_how_many_quanta_it_was(lm: Any) -> None:
    runner = TextRunner(lm, Vocabulary(decode, frozenset()), memory=1 << 20)
    jobs, alone = [Job("text", text_request(prompt, 61, GREEDY)) for prompt in PROMPTS], Uncontended(60.0)
    assert step(runner, jobs, alone) == [1, 1, 1]  # prompts
    assert step(runner, jobs, None) == [1, 1, 1]
    assert step(runner, jobs, alone) == [MOST] * 3 and jobs[0].units == MOST
    free, runner.places.pool.free = runner.places.pool.free, 0  # nobody is preempted for tokens that can wait
    assert step(runner, jobs, alone) == [1, 1, 1] and runner.places.preempted == 0
    runner.places.pool.free, alone.stop.value = free, 1
    assert step(runner, jobs, alone) == [1, 1, 1]
    alone.stop.value = 0
    late = Job("text", text_request([9], 2, GREEDY))
    assert step(runner, [*jobs, late], alone) == [1] * 4  # a prompt among them
    assert step(runner, jobs, alone) == [24] * 3 and all(job.future.done() for job in jobs)


def test_damaged_weights_fail_the_job(lm: Any) -> None:
    runner = TextRunner(lm, Vocabulary(decode, frozenset()), memory=1 << 20)
    job, alone = Job("text", text_request(PROMPTS[0], 60, GREEDY)), Uncontended(60.0)
    step(runner, [job], alone)
    weight = lm.transformer.norm.weight
    kept = weight.clone()
    weight.fill_(float("nan"))
    step(runner, [job], alone)
    weight.copy_(kept)
    assert isinstance(job.future.exception(), BadWeights)
