"""A pipeline that yields events, the call that drains them, and both for asyncio."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, TypeVar

from mmgen.engine.job import Priority, Request

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Event:
    """A step of a call. Which kinds there are, and what they carry, the pipeline's `stream` says."""

    kind: str
    value: Any


class StreamingPipeline(ABC, Generic[R]):
    """A task is its `stream`, which takes a `request` beside its own options. A call takes the same and returns the value of
    the last event."""

    priority: Priority = "normal"  # of requests that the caller does not bring

    def __init_subclass__(cls, **options: Any) -> None:
        """The call has the signature and the help of the class's own `stream`."""
        super().__init_subclass__(**options)
        if "stream" in vars(cls) and "__call__" not in vars(cls):

            @wraps(cls.stream)
            def drained(self: StreamingPipeline[Any], *args: Any, **options: Any) -> Any:
                *_, last = self.stream(*args, **options)
                return last.value

            cls.__call__ = drained  # type: ignore[method-assign]

    def __call__(self, *args: Any, **options: Any) -> R:
        raise NotImplementedError

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
