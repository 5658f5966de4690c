"""Admission: a job starts only once its memory, and its model's, is reserved in the ledger."""

from __future__ import annotations

from mmgen.engine.job import Job
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.scheduling.fair import FairScheduler


class Admission:
    """Weighted fair queueing over reserved bytes, as the scheduler does over milliseconds.

    The first job stays first until it fits: a large job waits, but cannot starve.
    """

    def __init__(self, ledger: Ledger, models: ModelPool | None = None) -> None:
        self.ledger = ledger
        self.models = ModelPool(ledger) if models is None else models
        self.first: Job | None = None  # does not fit yet
        self._shares = FairScheduler(max_batch=1)
        self._bytes: dict[Job, int] = {}
        self._kinds: dict[Job, str] = {}

    def __len__(self) -> int:
        return len(self._shares)

    def set_weight(self, user: str, weight: float) -> None:
        self._shares.set_weight(user, weight)

    def add(self, job: Job, nbytes: int, kind: str = "") -> None:
        """`kind`: what the bytes are for; by default the runner's name."""
        self._bytes[job], self._kinds[job] = nbytes, kind or job.runner
        self._shares.add(job)

    def next(self) -> Job | None:
        """The next job whose bytes could be reserved; None when there is none or it does not fit yet."""
        if self.first is None:
            self.first = next(iter(self._shares.next()), None)
        job = self.first
        if job is None or not self._reserve(job):
            return None
        self._shares.charge([job], self._bytes[job])
        self._shares.remove(job)
        self.first = None
        return job

    def remove(self, job: Job) -> None:
        """The job ended: leaves the queue and releases its memory."""
        self._shares.remove(job)
        if job in self.ledger:
            self.ledger.release(job)
            self.models.release(job.runner)
        self._bytes.pop(job, None)
        self._kinds.pop(job, None)
        if self.first is job:
            self.first = None

    def shortage(self, job: Job) -> str:
        return f"this {job.runner} job needs {self.needed(job):,} bytes, {self.ledger.free:,} are free; try again later"

    def needed(self, job: Job) -> int:
        """Its own bytes, and its model's if that is not on the device."""
        return self._bytes[job] + self.models.lacking(job.runner)

    def _reserve(self, job: Job) -> bool:
        """Reserves the job's bytes and its model's, evicting idle models if that makes enough room."""
        self.models.make_room(self.needed(job), but=job.runner)
        if not self.ledger.reserve(job, self._bytes[job], self._kinds[job]):
            return False
        if not self.models.acquire(job.runner):
            self.ledger.release(job)
            return False
        return True
