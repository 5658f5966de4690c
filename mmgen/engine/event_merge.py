"""The events of several jobs as one stream."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

from mmgen.engine.job import Handle


@dataclass(frozen=True, eq=False)
class JobEnded:
    """The last event of a job, with its result."""

    value: Any


class EventMerge:
    """Iterates over (tag, event) in the order in which events come, until all jobs have ended.

    Jobs may be added while it is read. A job that fails raises its error here; the others go on.
    """

    def __init__(self) -> None:
        self._handles: dict[Hashable, Handle] = {}
        self._read: dict[Hashable, int] = {}
        self._news: SimpleQueue[Hashable] = SimpleQueue()

    def add(self, tag: Hashable, handle: Handle) -> None:
        """`tag`: by which its events are told apart."""
        self._handles[tag], self._read[tag] = handle, 0
        with handle.job.news:
            handle.job.listeners.append(partial(self._news.put, tag))
        self._news.put(tag)  # for events before this listener

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        while self._handles:
            tag = self._news.get()
            handle = self._handles.get(tag)
            if handle is None:  # it ended with an earlier piece of news
                continue
            ended = handle.done()  # before the log is read: nothing is emitted after the end
            fresh = handle.job.log[self._read[tag] :]
            self._read[tag] += len(fresh)
            for event in fresh:
                yield tag, event
            if ended:
                del self._handles[tag]
                yield tag, JobEnded(handle.result())
