"""Metrics that another thread writes while they are read."""

from typing import Any

from mmgen.engine.telemetry.metrics import JOBS, Histogram, Metrics

FIELDS = ("quanta", "batches", "waits", "first", "between", "jobs", "errors", "shortages", "users")


class Written(dict[Any, Any]):
    """Whoever iterates over it finds a key more; a copy is made in one go."""

    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")

    keys = values = items


def growing() -> Metrics:
    """Of one runner, `text`."""
    metrics = Metrics()
    for name in FIELDS:
        value: Any = Histogram(JOBS) if name in FIELDS[:5] else 1
        setattr(metrics, name, Written({("text", "done") if name in ("jobs", "errors") else "text": value}))
    return metrics
