"""What runners expect of a job before its first quantum, and that it is what it takes at most."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.runners.roofline import milliseconds
from mmgen.runners.token_batch import TokenBatchRunner
from mmgen.runtime import Runtime
from mmgen.text_params import Sampling


@pytest.mark.parametrize(("used", "weights", "ms"), [(1e9, 10**6, 40.0), (1e6, 10**9, 400.0)])
def test_computing_or_reading_whichever_is_longer(used: float, weights: int, ms: float) -> None:
    assert milliseconds(used, weights, torch.device("cpu")) == pytest.approx(ms)
    assert milliseconds(used, weights, torch.device("cuda")) < ms / 100


@pytest.mark.parametrize("lengths", [[3], [10] * 40, [64, 1, 70, 5]])
def test_rows_take_the_quanta_that_are_expected_or_few_more(lengths: list[int]) -> None:
    runner = TokenBatchRunner(lambda rows: [0] * len(rows), budget=64)
    job = Job("rows", ["x" * n for n in lengths])
    expected = runner.estimate(job).quanta
    with Engine({"rows": runner}) as engine:
        engine.submit(job).result(20)
        engine.call(lambda: None)  # its last quantum is counted by then
        assert expected <= job.quanta <= 2 * expected + 1


def test_a_text_takes_as_many_quanta_as_its_prompt_and_tokens_ask_for(writer: Runtime) -> None:
    client = writer.text()
    ask = text_request(client.model.encode("the way the"), 12, Sampling(temperature=0), ends=frozenset())
    job = Job(client.runner, ask, Request.new(), seed=1)
    expected = client.text_runner.estimate(job)
    assert expected.quanta == 13 and expected.milliseconds is not None and expected.milliseconds > 0
    writer.engine.submit(job).result(20)
    writer.engine.call(lambda: None)  # its last quantum is counted by then
    assert 12 <= job.quanta <= 13 and job.streams
    counted = client.text_runner.counters()
    assert counted["prompt tokens"] >= len(ask.prompt) - 1 and counted["preemptions"] == 0


def test_rows_that_do_not_fit_are_tried_in_halves() -> None:
    passes: list[int] = []

    def cramped(rows: Sequence[Any]) -> list[int]:
        passes.append(len(rows))
        if len(rows) > 2:
            raise MemoryError
        return [len(row) for row in rows]

    runner = TokenBatchRunner(cramped, budget=1000)
    jobs = [Job("rows", ["x" * 5]) for _ in range(4)]
    runner.step(jobs)
    assert passes == [4, 2, 2] and [job.future.result(0) for job in jobs] == [[5]] * 4
