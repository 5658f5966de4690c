"""Batch sizes that fitted when a step ran out of memory; larger ones are cut to them for a minute."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Group

REMEMBERED = 60.0
"""Seconds after which a larger batch is tried again: other users of the memory may be gone."""


class OOMLimits:
    """The limit of each runner and key."""

    def __init__(self) -> None:
        self._most: dict[Group, tuple[int, float]] = {}

    def cut(self, batch: list[Job]) -> list[Job]:
        """The first jobs of the batch, as many as fitted last."""
        if not self._most:
            return batch
        group = (batch[0].runner, batch[0].key)
        most, until = self._most.get(group, (len(batch), 0.0))
        if until and time.monotonic() > until:
            del self._most[group]
            return batch
        return batch[:most]

    def note(self, batch: Sequence[Job], fitted: int) -> None:
        if fitted < len(batch):
            self._most[batch[0].runner, batch[0].key] = max(1, fitted), time.monotonic() + REMEMBERED
