"""What runners have in common whose model takes a request in one go: nothing is shared, one follows the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate


class ExclusiveRunner(ABC):
    """Requests one after another. What `serve` calls on its way should `check` the job, so that it can end early."""

    def key(self, job: Job) -> Hashable:
        return id(job)  # nothing is shared

    def reserve(self, job: Job) -> int:
        return 0

    def estimate(self, job: Job) -> Estimate:
        return Estimate(1)

    def release(self, job: Job) -> None:  # noqa: B027  not every runner has something to give back
        """Nothing was held."""

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                job.finish(self.serve(job))
            except Exception as error:
                job.fail(error)

    @abstractmethod
    def serve(self, job: Job) -> Any: ...  # the job's result


def check(job: Job, where: str) -> None:
    """Raises Cancelled and DeadlineExceeded. `where` it is: "while writing"."""
    job.request.check(where)
