"""Jobs that pass their deadline, found with a heap."""

from __future__ import annotations

import heapq
import weakref
from collections.abc import Iterator
from itertools import count

from mmgen.engine.job import Job


class Deadlines:
    """Jobs by their deadline. One that is gone before its deadline is not kept alive."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, weakref.ref[Job]]] = []
        self._numbers = count()

    def add(self, job: Job) -> None:
        if job.request.deadline is not None:
            heapq.heappush(self._heap, (job.request.deadline, next(self._numbers), weakref.ref(job)))

    def late(self) -> Iterator[Job]:
        """Jobs that passed it before they ended, each once."""
        while self._heap:
            job = self._heap[0][2]()
            if job is not None and job.ended is None:
                if not job.request.late():
                    return
                yield job
            heapq.heappop(self._heap)
