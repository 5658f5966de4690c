"""What the engine did in the last minutes, looked at every few seconds. Knows counters and times; not how they are shown."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mmgen.engine.telemetry.metrics import Metrics

EVERY, LOOKS = 2.0, 150
"""Seconds between two looks, and how many are kept: five minutes."""
PATIENCE = 600.0  # seconds without a reader after which it stops looking
KINDS = {
    "text": "writing",
    "denoise": "drawing",
    "decode": "drawing",
    "pipeline": "drawing",
    "embed": "embedding",
    "read": "reading",
    "write": "reading",
    "see": "seeing",
    "classify": "seeing",
    "read-text": "seeing",
}
"""What runners do, by the first part of their names; whatever else is "other"."""
UNITS = {"text": "tokens", "denoise": "steps"}
"""What a quantum brings each of its jobs, where that is worth a line of its own."""


@dataclass(frozen=True)
class CounterSample:
    """Counters at a moment, since the start."""

    at: float  # time.monotonic() seconds
    busy: Mapping[str, float] = field(default_factory=dict)  # kind of work -> device-milliseconds
    done: Mapping[str, float] = field(default_factory=dict)  # tokens, steps -> how many


@dataclass(frozen=True)
class ActivityRate:
    """Between two looks."""

    ago: float  # seconds before the last look
    busy: Mapping[str, float]  # kind -> share of the time, 0 to 1
    done: Mapping[str, float]  # tokens, steps -> a second


class ActivityMonitor:
    """Begins to look when somebody first reads it, in a thread of its own, and stops when nobody does any more."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.looks: deque[CounterSample] = deque(maxlen=LOOKS)
        self._read, self._guard = 0.0, threading.Lock()
        self._thread: threading.Thread | None = None

    def rates(self) -> list[ActivityRate]:
        """The oldest first."""
        self.watch()
        return rates(list(self.looks))

    def watch(self) -> None:
        """Somebody reads, or soon will."""
        with self._guard:
            self._read = time.monotonic()
            if self._thread is None:
                self.looks.append(look(self.metrics))
                self._thread = threading.Thread(target=self._run, name="mmgen-pulse", daemon=True)
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
    busy: dict[str, float] = {}
    done: dict[str, float] = {}
    for runner, histogram in list(metrics.quanta.items()):
        busy[kind(runner)] = busy.get(kind(runner), 0.0) + histogram.sum
    for runner, histogram in list(metrics.batches.items()):
        if unit := UNITS.get(runner.partition(":")[0]):
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


def kind(runner: str) -> str:
    """What a runner does, in a word."""
    return KINDS.get(runner.partition(":")[0], "other")


def _seconds(before: CounterSample, after: CounterSample) -> float:
    return max(1e-3, after.at - before.at)
