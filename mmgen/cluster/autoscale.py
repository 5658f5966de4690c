"""How many replicas there should be, by the seconds that waiting work is predicted to take; not by counts of requests."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Autoscaler:
    """Of replicas that are alike. Grows at once, by as many as the work needs; shrinks by one after a while."""

    least: int
    most: int
    grow_s: float  # predicted seconds of work by the replica above which there are more
    shrink_s: float  # ... and below which there is one less
    idle_s: float  # seconds that it has to be so little
    _quiet_since: float | None = None

    def wanted(self, now: int, queue_s: float, clock: float) -> int:
        """Replicas there should be, of the `now` that there are. `clock`: seconds."""
        each = queue_s / max(1, now)
        if each > self.grow_s or (queue_s > 0 and not now):
            self._quiet_since = None
            return min(self.most, max(self.least, now + 1, math.ceil(queue_s / self.grow_s)))
        if each > self.shrink_s or now <= self.least:
            self._quiet_since = None
            return max(self.least, min(now, self.most))
        if self._quiet_since is None:
            self._quiet_since = clock
        if clock - self._quiet_since < self.idle_s:
            return now
        self._quiet_since = clock
        return max(self.least, now - 1)
