"""The stages of an `add` that run on other nodes, and what passes between them. Knows no Ray."""

from __future__ import annotations

import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mmgen.config import RuntimeConfig
from mmgen.library.document_indexing import StageRate

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@dataclass(frozen=True, eq=False)
class StageRow:
    """A file on its way: what the last stage made of it."""

    value: Any
    spent: Mapping[str, tuple[int, float]] = field(default_factory=dict)  # stage -> items and seconds of it


class Stage(Protocol):
    """Runs in a process of its own: it is sent there, and opened there once."""

    def open(self) -> Callable[[Sequence[StageRow]], list[StageRow]]: ...


@dataclass(frozen=True)
class StageRuntime:
    """A runtime as every node opens it. What a home holds stays where the store is."""

    config: Mapping[str, Any]

    @classmethod
    def of(cls, config: RuntimeConfig) -> StageRuntime:
        """One thread a process, as there is one for each processor; the same precision everywhere."""
        same: dict[str, Any] = {"precision": "safe", "metrics_port": None, "trace": None, "threads": 1}
        return cls({**config.model_dump(mode="json"), **same})

    def open(self) -> Runtime:
        from mmgen.runtime import Runtime

        home = tempfile.TemporaryDirectory(prefix="mmgen-stage-")
        rt = Runtime(RuntimeConfig(**{**self.config, "home": home.name}))
        weakref.finalize(rt, home.cleanup)
        return rt


class StageRates:
    """What all stages have done so far."""

    def __init__(self, stages: dict[str, StageRate], clock: Callable[[], float] = time.perf_counter) -> None:
        """`stages`: of the report, which is kept."""
        self.stages, self.clock, self.began = stages, clock, clock()

    def add(self, spent: Mapping[str, tuple[int, float]]) -> None:
        for stage, (items, seconds) in spent.items():
            rate = self.stages.setdefault(stage, StageRate())
            rate.items += items
            rate.busy_s += seconds
        elapsed = max(self.clock() - self.began, 1e-9)
        for rate in self.stages.values():
            rate.per_s = rate.items / elapsed

    def __str__(self) -> str:
        """`read 12/s, split 340/s, embed 340/s, write 12/s`"""
        return ", ".join(f"{stage} {rate.per_s:.3g}/s" for stage, rate in self.stages.items())
