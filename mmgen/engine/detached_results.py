"""Results whose caller left and wants to come back for them. Knows requests and jobs; not results."""

from __future__ import annotations

import time
from collections import OrderedDict

from mmgen.engine.job import Job
from mmgen.errors import NotFound


class Parking:
    """Ended jobs by their request, for so many seconds and requests at most."""

    def __init__(self, seconds: float = 600.0, most: int = 1000) -> None:
        self.seconds, self.most = seconds, most
        self._places: OrderedDict[str, tuple[float, list[Job]]] = OrderedDict()  # the oldest first

    def __len__(self) -> int:
        self._clear()
        return len(self._places)

    def keep(self, job: Job) -> None:
        self._clear()
        self._places.setdefault(job.request.id, (time.monotonic(), []))[1].append(job)
        if len(self._places) > self.most:
            self._places.popitem(last=False)

    def take(self, request_id: str) -> list[Job]:
        """The request's jobs that ended since its caller left, which are forgotten. Raises NotFound."""
        self._clear()
        if request_id not in self._places:
            raise NotFound(f"nothing is kept for request {request_id}; results are kept for {self.seconds:g} s")
        return self._places.pop(request_id)[1]

    def _clear(self) -> None:
        end = time.monotonic() - self.seconds
        while self._places and next(iter(self._places.values()))[0] < end:
            self._places.popitem(last=False)
