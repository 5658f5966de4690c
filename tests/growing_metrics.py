"""Metrics whose runners come and go while they are read, as a garbage collection lets the device thread add some."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from mmgen.engine.telemetry.metrics import JOBS, Histogram, Metrics


@contextmanager
def growing(metrics: Metrics) -> Iterator[None]:
    """Every collection adds a runner, or takes it away again; there is one every few objects."""
    histogram, numbers = Histogram(JOBS), count()
    histograms = [metrics.quanta, metrics.batches, metrics.waits, metrics.first, metrics.between]
    counters: list[dict[Any, Any]] = [metrics.shortages, metrics.users]
    pairs = [metrics.jobs, metrics.errors]

    def add(name: str) -> None:
        for of_runner in histograms:
            of_runner[name] = histogram
        for counter in counters:
            counter[name] = 1
        for pair in pairs:
            pair[name, "done"] = 1

    def change(phase: str, info: Any) -> None:
        if next(numbers) % 2 == 0:
            add("new")
            return
        for one in (*histograms, *counters):
            one.pop("new")
        for pair in pairs:
            pair.pop(("new", "done"))

    for number in range(40):
        add(f"runner {number}")
    before = gc.get_threshold()
    gc.callbacks.append(change)
    gc.set_threshold(10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(change)
