"""What an engine tells of its jobs, to traces of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mmgen.engine.job import Job


class JobObserver(Protocol):
    """Called with the engine's lock held, so that it neither waits nor calls the engine."""

    def submitted(self, job: Job) -> None:
        """On the caller's thread, before the job can run."""

    def quantum(self, jobs: Sequence[Job], began: float, milliseconds: float, away: float = 0.0) -> None:
        """On the device thread. `began`: time.monotonic() seconds; `away`: milliseconds besides, of others inside it."""

    def ended(self, job: Job) -> None:
        """On the device thread."""

    def close(self) -> None:
        """There are no more."""
