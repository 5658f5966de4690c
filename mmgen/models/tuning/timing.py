"""Candidates timed in turn, so that a slow minute is slow for all of them. Knows functions; not what they compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

MARGIN = 0.1
"""By what part a candidate must be faster than the safe one."""
LEAST, MOST = 5, 15
"""Rounds: of fewer nothing is concluded, and more are not made."""
AGREEMENT, BUSY_AGREEMENT = 0.75, 0.9
"""Part of the rounds in which what is chosen must be faster; fewer are noise. The second: beside other busy processes."""
BUSY = 0.7
"""Part of the time in which the measuring thread had a processor; less of it and others take their turns."""

Decision = Literal["faster", "not faster", "unsettled"]


@dataclass(frozen=True)
class Lap:
    """One pass."""

    seconds: float  # on the clock
    processor: float  # of the thread that ran it


@dataclass(frozen=True)
class Timings:
    """What rounds took: of every candidate as many laps."""

    laps: Mapping[str, list[Lap]]

    def ms(self, name: str) -> float:
        """The median."""
        return 1000 * median(lap.seconds for lap in self.laps[name])

    @property
    def rounds(self) -> int:
        return min(map(len, self.laps.values()), default=0)

    @property
    def busy(self) -> bool:
        """Whether something else kept the processor: the measuring thread waited for more than it computed."""
        all_laps = [lap for laps in self.laps.values() for lap in laps]
        return sum(lap.processor for lap in all_laps) < BUSY * sum(lap.seconds for lap in all_laps)

    def decide(self, safe: str, other: str, margin: float = MARGIN) -> Decision:
        """By the ratios of neighbouring laps, which a slow minute leaves as they are; beside other work more must agree."""
        ratios = [mine.seconds / base.seconds for base, mine in zip(self.laps[safe], self.laps[other], strict=True)]
        if len(ratios) < (2 * LEAST if self.busy else LEAST):
            return "unsettled"
        if median(ratios) > 1 - margin:
            return "not faster"
        agreement = BUSY_AGREEMENT if self.busy else AGREEMENT
        return "faster" if sum(ratio < 1 for ratio in ratios) >= agreement * len(ratios) else "unsettled"


def timed(function: Callable[[], object]) -> Lap:
    """One call of it."""
    clock, processor = time.perf_counter(), time.thread_time()
    function()
    return Lap(time.perf_counter() - clock, time.thread_time() - processor)


def interleaved(passes: Mapping[str, Callable[[], Lap]], ends: float, most: int = MOST) -> Timings:
    """Rounds of one pass each, up to `most` or until `time.perf_counter()` passes `ends`; one before them warms up."""
    for run in passes.values():
        run()
    laps: dict[str, list[Lap]] = {name: [] for name in passes}
    for _ in range(most):
        if time.perf_counter() > ends:
            break
        for name, run in passes.items():
            laps[name].append(run())
    return Timings(laps)
