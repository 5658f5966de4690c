"""The engine's own runner: functions that have to run on the device thread."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.engine.job import Job


class CallRunner:
    """Runs a function as a quantum of its own: loading a model, warming it up."""

    work = "loading"

    def key(self, job: Job) -> int:
        return id(job)

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.finish(job.payload())

    def release(self, job: Job) -> None:
        pass
