"""Fault isolation: a step that raises fails its jobs; one that runs out of memory is split and tried again.

A step that runs out of memory has moved no job on, so that it can be tried again with fewer jobs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from mmgen.engine.job import Job
from mmgen.errors import out_of_memory

log = logging.getLogger(__name__)


def apart(jobs: Sequence[Any], error: BaseException) -> list[Sequence[Any]]:
    """How a failed batch is split to be tried again: into halves if memory was short, else job by job to find the bad one."""
    if out_of_memory(error):
        half = (len(jobs) + 1) // 2
        return [jobs[:half], jobs[half:]]
    return [[job] for job in jobs]


def step(run: Callable[[list[Job]], None], jobs: list[Job], make_room: Callable[[], bool]) -> int:
    """Runs a quantum; whatever it raises becomes the error of its jobs. Returns how many jobs fitted at once.

    Args:
        make_room: frees what memory it can; True if it freed any.
    """
    try:
        run(jobs)
        return len(jobs)
    except BaseException as error:  # whatever it is, the engine lives on
        left = [job for job in jobs if job.ended is None]
        if not (out_of_memory(error) and left):
            for job in left:
                job.fail(error)
            return len(jobs)
        log.warning(
            "%s ran out of memory with %d jobs: %s", jobs[0].runner, len(left), error, extra={"request": left[0].request.id}
        )
        if make_room():
            return step(run, left, lambda: False)
        if len(left) == 1:
            left[0].fail(error)
            return 1
        return max(step(run, list(half), make_room) for half in apart(left, error))
