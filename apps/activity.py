"""Device time by kind of work, and tokens and denoising steps per second, sampled over the last minutes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mmgen.engine.telemetry.metrics import Metrics

EVERY, LOOKS = 2.0, 150
"""Seconds between two samples, and how many are kept: five minutes."""
PATIENCE = 600.0  # seconds without a reader after which sampling stops
OTHER = "other"  # the work of a runner that does not say what it does


@dataclass(frozen=True)
class CounterSample:
    """Counters since the start, at one moment."""

    at: float  # time.monotonic() seconds
    busy: Mapping[str, float] = field(default_factory=dict)  # work -> device-milliseconds
    done: Mapping[str, float] = field(default_factory=dict)  # tokens, steps -> how many


@dataclass(frozen=True)
class ActivityRate:
    """Rates between two samples."""

    ago: float  # seconds before the last sample
    busy: Mapping[str, float]  # work -> share of the time, 0 to 1
    done: Mapping[str, float]  # tokens, steps -> per second


class ActivityMonitor:
    """Samples in a thread that starts at the first read and stops after PATIENCE seconds without one."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.looks: deque[CounterSample] = deque(maxlen=LOOKS)
        self._read, self._guard = 0.0, threading.Lock()
        self._thread: threading.Thread | None = None

    def rates(self) -> list[ActivityRate]:
        """The oldest first; starts sampling."""
        self.watch()
        return rates(list(self.looks))

    def watch(self) -> None:
        """Starts sampling, or keeps it going."""
        with self._guard:
            self._read = time.monotonic()
            if self._thread is None:
                self.looks.append(look(self.metrics))
                self._thread = threading.Thread(target=self._run, name="mmgen-activity", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(EVERY)
            with self._guard:
                if time.monotonic() - self._read > PATIENCE:
                    self._thread = None
                    self.looks.clear()
                    return
            self.looks.append(look(self.metrics))


def look(metrics: Metrics) -> CounterSample:
    """The counters now, summed over runners that do the same work."""
    now = metrics.now()
    busy: dict[str, float] = {}
    done: dict[str, float] = {}
    for runner, histogram in metrics.quanta.copy().items():
        work = now.work.get(runner, OTHER)
        busy[work] = busy.get(work, 0.0) + histogram.sum
    for runner, histogram in metrics.batches.copy().items():
        if unit := now.units.get(runner):
            done[unit] = done.get(unit, 0.0) + histogram.sum
    return CounterSample(time.monotonic(), busy, done)


def rates(looks: Sequence[CounterSample]) -> list[ActivityRate]:
    return [
        ActivityRate(
            looks[-1].at - after.at,
            {
                key: min(1.0, (value - before.busy.get(key, 0.0)) / (1000 * _seconds(before, after)))
                for key, value in after.busy.items()
            },
            {key: (value - before.done.get(key, 0.0)) / _seconds(before, after) for key, value in after.done.items()},
        )
        for before, after in pairwise(looks)
    ]


def _seconds(before: CounterSample, after: CounterSample) -> float:
    return max(1e-3, after.at - before.at)
