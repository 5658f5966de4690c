"""The state of an engine at one moment, read from its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from mmgen.engine.job import Job
from mmgen.engine.memory.model_pool import ModelPool
from mmgen.engine.scheduling.forecast import Forecast
from mmgen.engine.scheduling.gap_limiter import GapLimiter
from mmgen.engine.telemetry.metrics import EngineState
from mmgen.interfaces import Runner


def snapshot(
    lock: AbstractContextManager[object],
    jobs: Sequence[Job],
    runners: Mapping[str, Runner],
    models: ModelPool,
    limiter: GapLimiter,
    forecast: Forecast,
) -> EngineState:
    """`lock`: the engine's, held briefly; `jobs`: those that have not ended."""
    queued: Counter[tuple[str, str]] = Counter((job.runner, job.request.priority) for job in jobs if job.started is None)
    running: Counter[tuple[str, str]] = Counter((job.runner, job.request.priority) for job in jobs if job.started is not None)
    with lock:
        return EngineState(
            queued=queued,
            running=running,
            ledger=models.ledger.by_kind(),
            measured=dict(models.ledger.measured()),
            limit=models.ledger.limit,
            device=models.ledger.device,
            models={one.name: one.state for one in models},
            evictions=models.evictions,
            broken_gaps=dict(limiter.broken),
            longest_gap_ms=limiter.longest_gap,
            queue_s=forecast.todo(),
            counters={name: dict(one.counters()) for name, one in runners.items() if hasattr(one, "counters")},
            work={name: one.work for name, one in runners.items() if hasattr(one, "work")},
            units={name: one.unit for name, one in runners.items() if hasattr(one, "unit")},
        )
