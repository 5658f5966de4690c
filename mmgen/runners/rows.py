"""A model that reads rows of tokens, taking turns: the encoder and the reader. Knows rows and their lengths; not what they say."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from mmgen.engine.job import Job
from mmgen.errors import BadRequest, TooLarge


@dataclass
class Progress:
    """A job's state here: which rows are still to do, and what came of the others."""

    waiting: list[int]  # longest first, so that rows of like length meet
    results: list[Any]


class RowRunner:
    """Every quantum takes rows from all its jobs in turn, up to `budget` tokens, and runs them sorted by length.

    A job's payload is a sequence of rows, each with a length in tokens; its result is the list of what `run` gave for
    every row, in the payload's order.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        *,
        budget: int = 2048,
        row_bytes: int = 0,
        most_rows: int = 1_000_000,
        padding: float = 1.15,
    ) -> None:
        """
        Args:
            run: one forward pass: rows -> a result a row.
            budget: tokens a quantum; about a tenth of a second on two cores at 20M parameters.
            row_bytes: held for a row's result until the job ends.
            most_rows: a job with more is refused.
            padding: a pass is split where padding would make it this much larger than its rows.
        """
        if budget < 1:
            raise BadRequest(f"budget is {budget}; a quantum holds at least 1 token")
        self.run, self.budget, self.row_bytes = run, budget, row_bytes
        self.most_rows, self.padding = most_rows, padding

    def key(self, job: Job) -> Hashable:
        return "rows"  # any rows can share a pass

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
                job.state = Progress(order, [None] * len(job.payload))
        for part in passes(self._take(jobs), self.padding):
            self._forward(part)
        for job in jobs:
            if not job.state.waiting:
                job.finish(job.state.results)

    def _take(self, jobs: Sequence[Job]) -> list[tuple[Job, int]]:
        """Rows in turn from every job until the budget is spent; at least one each."""
        taken: list[tuple[Job, int]] = []
        spent = dict.fromkeys(range(len(jobs)), 0)
        open_jobs = [n for n, job in enumerate(jobs) if job.state.waiting]
        while open_jobs and (sum(spent.values()) < self.budget or any(spent[n] == 0 for n in open_jobs)):
            n = min(open_jobs, key=lambda n: spent[n])
            row = jobs[n].state.waiting.pop()
            spent[n] += max(1, len(jobs[n].payload[row]))
            taken.append((jobs[n], row))
            if not jobs[n].state.waiting:
                open_jobs.remove(n)
        for n, job in enumerate(jobs):
            job.units = spent[n]
        return taken

    def _forward(self, part: list[tuple[Job, int]]) -> None:
        try:
            results = self.run([job.payload[row] for job, row in part])
        except Exception as error:
            owners = {id(job): job for job, _ in part}
            if len(owners) == 1:
                part[0][0].fail(error)
                return
            for owner in owners.values():  # a pass changes nothing, so that each job can be tried alone
                self._forward([(job, row) for job, row in part if job is owner])
            return
        for (job, row), result in zip(part, results, strict=True):
            job.state.results[row] = result


def passes(rows: list[tuple[Job, int]], padding: float) -> list[list[tuple[Job, int]]]:
    """Rows sorted by length and cut into passes, so that padding stays below `padding` times the rows themselves."""

    def length(row: tuple[Job, int]) -> int:
        job, number = row
        size: Sized = job.payload[number]
        return max(1, len(size))

    parts: list[list[tuple[Job, int]]] = []
    real = 0
    for row in sorted(rows, key=length, reverse=True):
        if parts and length(parts[-1][0]) * (len(parts[-1]) + 1) <= padding * (real + length(row)):
            parts[-1].append(row)
            real += length(row)
        else:
            parts.append([row])
            real = length(row)
    return parts
