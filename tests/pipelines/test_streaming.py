"""A streaming pipeline drains itself: a call has the signature of its stream."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

from mmgen.engine.job import Request
from mmgen.pipelines.streaming import Event, StreamingPipeline


class Counter(StreamingPipeline[int]):
    """Counts."""

    def stream(self, most: int, *, step: int = 1, request: Request | None = None) -> Iterator[Event]:
        """Counts on.

        step: how far.
        """
        yield from (Event("count", number) for number in range(0, most, step))
        yield Event("sum", sum(range(0, most, step)))


class TwiceCounter(Counter):
    """Counts further, and is called as it wants."""

    def __call__(self, most: int) -> int:  # type: ignore[override]
        return super().__call__(2 * most)


def test_a_call_is_the_last_event() -> None:
    assert Counter()(5) == 10
    assert Counter()(5, step=2) == 6
    assert TwiceCounter()(5) == 45


def test_a_call_has_the_options_of_its_stream() -> None:
    assert inspect.signature(Counter.__call__).parameters == inspect.signature(Counter.stream).parameters
    assert "step: how far." in (Counter.__call__.__doc__ or "")


def test_for_asyncio() -> None:
    async def both() -> tuple[int, list[str]]:
        return await Counter().acall(5, step=2), [event.kind async for event in Counter().astream(3, step=2)]

    assert asyncio.run(both()) == (6, ["count", "count", "sum"])
