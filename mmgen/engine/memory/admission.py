"""Who gets memory, and when. Knows jobs, their bytes and the ledger; not what is done with either."""

from __future__ import annotations

from mmgen.engine.job import Job
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.scheduling.fair import FairScheduler


class Admission:
    """Memory goes in fair shares of bytes, as device time goes in fair shares of milliseconds.

    Whoever is first stays first until he fits: a large job waits, but cannot starve.
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
        """`kind`: what the bytes are for; the runner's name where nobody says."""
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
        """The job ended: it waits no longer and gives back what it holds."""
        self._shares.remove(job)
        if job in self.ledger:
            self.ledger.release(job)
            self.models.let_go(job.runner)
        self._bytes.pop(job, None)
        self._kinds.pop(job, None)
        if self.first is job:
            self.first = None

    def shortage(self, job: Job) -> str:
        return f"this {job.runner} job needs {self.needed(job):,} bytes, {self.ledger.free:,} are free; try again later"

    def needed(self, job: Job) -> int:
        """Its own bytes, and its model's where that is away."""
        return self._bytes[job] + self.models.lacking(job.runner)

    def _reserve(self, job: Job) -> bool:
        """The job's bytes and its model's. Idle models leave for them, where that is enough."""
        self.models.make_room(self.needed(job), but=job.runner)
        if not self.ledger.reserve(job, self._bytes[job], self._kinds[job]):
            return False
        if not self.models.hold(job.runner):
            self.ledger.release(job)
            return False
        return True
