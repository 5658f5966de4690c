"""A model that reads rows of tokens, taking turns: encoder and reader. Knows rows and their lengths; not what they say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence, Sized
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from mmgen.engine.fault_isolation import apart
from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate, MovingAverage
from mmgen.errors import BadRequest, TooLarge

SAFE = 0.8
"""Of the time that a quantum may take, what it plans for."""


@dataclass
class RowState:
    """A job's state here: which rows are still to do, and what came of the others."""

    waiting: list[int]  # shortest first and taken from the end, so that rows of like length meet
    results: list[Any]


class TokenBatchRunner:
    """Every quantum takes rows from all its jobs in turn, up to `budget` tokens, and runs them sorted by length.

    A job's payload is a sequence of rows, each with a length in tokens; its result is the list of what `run` gave for
    every row, in the payload's order.
    """

    kind = "activations"

    def __init__(
        self,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        *,
        budget: int = 2048,
        row_bytes: int = 0,
        most_rows: int = 1_000_000,
        padding: float = 1.15,
        work: str = "encoding",
    ) -> None:
        """
        Args:
            run: one forward pass: rows -> a result a row.
            budget: tokens a quantum and a pass; about a tenth of a second on two cores at 20M parameters.
            row_bytes: held for a row's result until the job ends.
            most_rows: a job with more is refused.
            padding: a pass is split where padding would make it this much larger than its rows; inf for a model that
                pads nothing.
            work: what the engine's activity counts its time as.
        """
        if budget < 1:
            raise BadRequest(f"budget is {budget}; a quantum holds at least 1 token")
        self.run, self.budget, self.row_bytes = run, budget, row_bytes
        self.most_rows, self.padding, self.work = most_rows, padding, work
        self.room_ms: float | None = None  # the engine, before each step: how long it may take; None: as it likes
        self._token = MovingAverage()  # milliseconds

    def key(self, job: Job) -> Hashable:
        return "rows"  # any rows can share a pass

    def estimate(self, job: Job) -> Estimate:
        return Estimate(math.ceil(sum(max(1, len(row)) for row in job.payload) / self.budget))

    def reserve(self, job: Job) -> int:
        if len(job.payload) > self.most_rows:
            raise TooLarge(f"{len(job.payload)} texts in one job, the limit is {self.most_rows}; send them in parts")
        return len(job.payload) * self.row_bytes

    def release(self, job: Job) -> None:
        job.state = None

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.state is None:
                order = sorted(range(len(job.payload)), key=lambda i: len(job.payload[i]))
                job.state = RowState(order, [None] * len(job.payload))
        taken, began = self._take(jobs), time.perf_counter()
        for part in passes(taken, self.padding, self.budget):
            self._forward(part)
        if taken:
            self._token.add(1000 * (time.perf_counter() - began) / sum(job.units for job in jobs))
        for job in jobs:
            if not job.state.waiting:
                job.finish(job.state.results)

    def _take(self, jobs: Sequence[Job]) -> list[tuple[Job, int]]:
        """Rows in turn, of whoever has least, until the budget or the time is spent; at least one of every job."""
        taken: list[tuple[Job, int]] = []
        budget = self.budget
        if self.room_ms is not None and self._token.count:
            budget = min(budget, int(SAFE * self.room_ms / self._token.value))
        spent = [0] * len(jobs)
        turns = [(0, n) for n, job in enumerate(jobs) if job.state.waiting]
        while turns:
            had, n = heappop(turns)
            waiting, payload = jobs[n].state.waiting, jobs[n].payload
            size = max(1, len(payload[waiting[-1]]))
            if had and sum(spent) + size > budget:
                break
            taken.append((jobs[n], waiting.pop()))
            spent[n] += size
            if waiting:
                heappush(turns, (spent[n], n))
        for job, tokens in zip(jobs, spent, strict=True):
            job.units = tokens
        return taken

    def _forward(self, part: list[tuple[Job, int]]) -> None:
        try:
            results = self.run([job.payload[row] for job, row in part])
        except Exception as error:
            owners = {id(job): job for job, _ in part}
            if len(owners) == 1:
                part[0][0].fail(error)
                return
            for some in apart(list(owners.values()), error):  # a pass changes nothing, so that it can be tried again
                self._forward([(job, row) for job, row in part if job in some])
            return
        for (job, row), result in zip(part, results, strict=True):
            job.state.results[row] = result


def passes(rows: list[tuple[Job, int]], padding: float, budget: int) -> list[list[tuple[Job, int]]]:
    """Rows sorted by length and cut into passes of `budget` tokens, padded to less than `padding` times the rows themselves."""

    def length(row: tuple[Job, int]) -> int:
        job, number = row
        size: Sized = job.payload[number]
        return max(1, len(size))

    parts: list[list[tuple[Job, int]]] = []
    real = 0
    for row in sorted(rows, key=length, reverse=True):
        more = real + length(row)
        if parts and more <= budget and length(parts[-1][0]) * (len(parts[-1]) + 1) <= padding * more:
            parts[-1].append(row)
            real = more
        else:
            parts.append([row])
            real = length(row)
    return parts
