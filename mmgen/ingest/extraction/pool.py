"""Warm extraction workers, one for each document that is being read at the moment."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmgen.ingest.extraction.limits import Extraction, ExtractionLimits, bounded
from mmgen.ingest.extraction.progress import Progress
from mmgen.ingest.extraction.worker import POLL_S, ExtractionTask, ExtractionWorker
from mmgen.interfaces import Loader

OURS = "mmgen.ingest."
MOST = max(2, os.cpu_count() or 1)  # documents read at once
KEPT = 2  # workers that wait for the next document


class WorkerPool:
    """Thread-safe. A worker that exceeded a limit is replaced when the next document comes."""

    def __init__(self) -> None:
        self.idle: list[ExtractionWorker] = []
        self._slots = threading.BoundedSemaphore(MOST)
        self._guard = threading.Lock()

    def run(self, task: ExtractionTask, check: Callable[[], None], progress: Progress | None = None) -> Extraction:
        """See `ExtractionWorker.run`; waits while MOST others are under way."""
        while not self._slots.acquire(timeout=POLL_S):
            check()
        try:
            worker = self._worker()
            try:
                return worker.run(task, check, progress)
            finally:
                self._keep(worker)
        finally:
            self._slots.release()

    def close(self) -> None:
        """Ends the workers that are idle."""
        with self._guard:
            while self.idle:
                self.idle.pop().close()

    def _worker(self) -> ExtractionWorker:
        with self._guard:
            while self.idle:
                worker = self.idle.pop()
                if not worker.ended:
                    return worker
                worker.close()
        return ExtractionWorker()

    def _keep(self, worker: ExtractionWorker) -> None:
        with self._guard:
            if not worker.ended and len(self.idle) < KEPT:
                self.idle.append(worker)
                return
        worker.close()


def extract(
    loader: Loader,
    path: Path,
    data: bytes,
    limits: ExtractionLimits | None = None,
    check: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
) -> Extraction:
    """What a loader makes of a document: one of ours in a worker process, see `ExtractionWorker.run`, a plugin's here.

    `loader`: a function of a module of `mmgen.ingest`, or a `functools.partial` of one with keywords in JSON's types.
    """
    function, options = (loader.func, loader.keywords) if isinstance(loader, partial) else (loader, {})
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module.startswith(OURS):
        return bounded(loader(path, data), len(data))
    task = ExtractionTask(f"{module}:{name}", options, str(path), data, limits or ExtractionLimits())
    return pool.run(task, check, progress)


def _forget() -> None:
    """In a forked process: the workers are the parent's."""
    global pool
    pool = WorkerPool()


pool = WorkerPool()
atexit.register(lambda: pool.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
