"""The row runner under the engine: same results alone and together, a bad row fails its job alone."""

import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.errors import BadRequest, JobFailed, TooLarge
from mmgen.runners.token_batch import TokenBatchRunner, passes


class Recording:
    """Doubles every row's length; remembers its passes; refuses rows of 13."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []

    def __call__(self, rows: Sequence[Any]) -> list[int]:
        lengths = [len(row) for row in rows]
        self.passes.append(lengths)
        if 13 in lengths:
            raise ValueError("thirteen")
        return [2 * n for n in lengths]


def rows(*lengths: int) -> list[str]:
    return ["x" * n for n in lengths]


def run(works: list[list[str]], budget: int = 64) -> tuple[list[Any], Recording]:
    record = Recording()
    with Engine({"rows": TokenBatchRunner(record, budget=budget)}) as engine:
        handles = [engine.submit(Job("rows", work)) for work in works]
        results = []
        for handle in handles:
            try:
                results.append(handle.result(10))
            except JobFailed as error:
                results.append(error)
    return results, record


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12) | st.integers(14, 90), max_size=20), min_size=1, max_size=6))
def test_together_equals_alone(works: list[list[int]]) -> None:
    together, record = run([rows(*work) for work in works])
    assert together == [[2 * n for n in work] for work in works]
    assert sorted(n for part in record.passes for n in part) == sorted(n for work in works for n in work)


def test_a_bad_row_fails_its_job_alone() -> None:
    results, _ = run([rows(12, 12), rows(12, 13), rows(13)], budget=1000)
    assert results[0] == [24, 24]
    assert all(isinstance(result, JobFailed) and "thirteen" in str(result) for result in results[1:])


def test_a_quantum_keeps_its_budget() -> None:
    _, record = run([rows(*[10] * 100)], budget=64)
    assert max(sum(part) for part in record.passes) == 60


def test_every_job_of_a_quantum_advances() -> None:
    runner, jobs = TokenBatchRunner(Recording(), budget=10), [Job("rows", rows(50, 50)) for _ in range(3)]
    runner.step(jobs)
    assert [len(job.state.waiting) for job in jobs] == [1, 1, 1]
    assert [job.units for job in jobs] == [50, 50, 50]


def test_padding_is_bounded() -> None:
    rng = random.Random(0)
    job = Job("rows", rows(*(rng.randint(1, 256) for _ in range(200))))
    parts = passes([(job, n) for n in range(200)], 1.15, 100_000)
    for part in parts:
        lengths = [len(job.payload[n]) for _, n in part]
        assert max(lengths) * len(lengths) <= 1.15 * sum(lengths)
    assert sum(map(len, parts)) == 200


def test_passes_keep_the_budget_however_many_jobs_share_a_quantum() -> None:
    record = Recording()
    TokenBatchRunner(record, budget=64, padding=float("inf")).step([Job("rows", rows(30, 40)) for _ in range(9)])
    assert record.passes == [[40]] * 9
    record.passes.clear()
    TokenBatchRunner(record, budget=64, padding=float("inf")).step([Job("rows", rows(n)) for n in (20, 1, 40, 3)])
    assert record.passes == [[40, 20, 3, 1]]


def test_it_does_what_fits_into_its_time() -> None:
    """Streaming answers wait: a quantum of a long job is cut to what it may take, once it is known what a token takes."""

    def slow(rows: Sequence[Any]) -> list[int]:
        time.sleep(0.001 * sum(map(len, rows)) / 10)  # 0.1 ms a token
        return [len(row) for row in rows]

    runner, job = TokenBatchRunner(slow, budget=400), Job("rows", rows(*[10] * 200))
    runner.step([job])
    assert job.units == 400
    runner.room_ms = 10.0
    for _ in range(3):
        runner.step([job])
    assert 10 <= job.units <= 80
    runner.room_ms = 0.001
    runner.step([job])
    assert job.units == 10, "a row at least"
    runner.room_ms = None
    runner.step([job])
    assert job.units == 400


def test_limits() -> None:
    with pytest.raises(TooLarge, match="3 texts in one job, the limit is 2"):
        TokenBatchRunner(Recording(), most_rows=2).reserve(Job("rows", rows(1, 1, 1)))
    with pytest.raises(BadRequest, match="budget is 0"):
        TokenBatchRunner(Recording(), budget=0)
