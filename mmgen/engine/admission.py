"""Who gets memory, and when. Knows jobs, their bytes and the ledger; not what is done with either."""

from __future__ import annotations

from mmgen.engine.job import Job
from mmgen.engine.ledger import Ledger
from mmgen.engine.scheduler import FairScheduler


class Admission:
    """Memory goes in fair shares of bytes, as device time goes in fair shares of milliseconds.

    Whoever is first stays first until he fits: a large job waits, but cannot starve.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.first: Job | None = None  # does not fit yet
        self._shares = FairScheduler(max_batch=1)
        self._bytes: dict[Job, int] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def set_weight(self, user: str, weight: float) -> None:
        self._shares.set_weight(user, weight)

    def add(self, job: Job, nbytes: int) -> None:
        self._bytes[job] = nbytes
        self._shares.add(job)

    def next(self) -> Job | None:
        """The next job whose bytes could be reserved; None when there is none or it does not fit yet."""
        if self.first is None:
            self.first = next(iter(self._shares.next()), None)
        job = self.first
        if job is None or not self.ledger.reserve(job, self._bytes[job], job.runner):
            return None
        self._shares.charge([job], self._bytes[job])
        self._shares.remove(job)
        self.first = None
        return job

    def remove(self, job: Job) -> None:
        """The job ended: it waits no longer and gives back what it holds."""
        self._shares.remove(job)
        self.ledger.release(job)
        self._bytes.pop(job, None)
        if self.first is job:
            self.first = None

    def shortage(self, job: Job) -> str:
        return f"this {job.runner} job needs {self._bytes[job]:,} bytes, {self.ledger.free:,} are free; try again later"
