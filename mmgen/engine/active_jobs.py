"""Jobs from submission until they are retired: cancellation, deadlines, and jobs that are blocked on another.

Its methods are called under the engine's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.deadlines import Deadlines
from mmgen.errors import Cancelled, DeadlineExceeded, MmgenError


class ActiveJobs:
    """Jobs by their request."""

    def __init__(self) -> None:
        self._jobs: dict[Request, set[Job]] = {}
        self._cancelled: deque[Request] = deque()
        self._deadlines = Deadlines()
        self._blocked: dict[Job, None] = {}  # set `waits`; the longest blocked first

    def __len__(self) -> int:
        return sum(map(len, self._jobs.values()))

    def __iter__(self) -> Iterator[Job]:
        return (job for jobs in self._jobs.values() for job in jobs)

    def requests(self) -> list[Request]:
        return list(self._jobs)

    def add(self, job: Job) -> None:
        self._jobs.setdefault(job.request, set()).add(job)
        self._deadlines.add(job)
        if job.request.cancelled:
            self.cancel(job.request)

    def remove(self, job: Job) -> None:
        self._blocked.pop(job, None)
        jobs = self._jobs[job.request]
        jobs.discard(job)
        if not jobs:
            del self._jobs[job.request]

    def cancel(self, request: Request) -> None:
        self._cancelled.append(request)

    def doomed(self) -> Iterator[tuple[Job, MmgenError]]:
        """Jobs whose request was cancelled or passed its deadline, each once, with the error."""
        while self._cancelled:
            request = self._cancelled.popleft()
            for job in self._jobs.get(request, ()):
                yield job, Cancelled(f"request {request.id} was cancelled")
        for job in self._deadlines.late():
            assert job.request.deadline is not None and job.submitted is not None
            given = max(0.0, job.request.deadline - job.submitted)
            yield job, DeadlineExceeded(f"request {job.request.id} passed its deadline of {given:.3g} s; allow it more time")

    def block(self, job: Job) -> None:
        """The job can go on only after another of its runner's jobs has ended."""
        self._blocked[job] = None

    def unblock(self, runner: str) -> list[Job]:
        """A job of that runner ended: returns the jobs that may go on with what it freed."""
        free = [one for one in self._blocked if one.runner == runner]
        for job in free:
            del self._blocked[job]
            job.waits = False
        return free
