"""A pipeline that tells of its steps, and its twins for asyncio. Knows events and requests; not what happens in them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mmgen.engine.job import Priority, Request

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Event:
    """A step of a call. Which kinds there are, and what they carry, the pipeline's `stream` says."""

    kind: str
    value: Any


class StreamingPipeline(ABC, Generic[R]):
    """`__call__` and `stream` are the pipeline's own; both take a `request`."""

    priority: Priority = "normal"  # of requests that the caller does not bring

    @abstractmethod
    def __call__(self, *args: Any, **options: Any) -> R: ...

    @abstractmethod
    def stream(self, *args: Any, **options: Any) -> Iterator[Event]: ...

    async def acall(self, *args: Any, **options: Any) -> R:
        """`__call__` for asyncio: the event loop stays free, and cancelling the task cancels the request."""
        request = options.pop("request", None) or Request.new(priority=self.priority)
        try:
            return await asyncio.to_thread(self, *args, request=request, **options)
        except asyncio.CancelledError:
            request.cancel()
            raise

    async def astream(self, *args: Any, **options: Any) -> AsyncIterator[Event]:
        """`stream` for asyncio; leaving it early, or cancelling the task, cancels the request."""
        request = options.pop("request", None) or Request.new(priority=self.priority)
        events, end = self.stream(*args, request=request, **options), object()
        try:
            while (event := await asyncio.to_thread(next, events, end)) is not end:
                assert isinstance(event, Event)
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            request.cancel()
            raise
