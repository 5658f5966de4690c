"""How an extractor says that it gets on: each step it tells gets the whole time of the limits anew."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Steps done, and of how many."""

_listeners: list[Progress] = []  # written by the worker's loop; empty where an extractor is called directly


def tell(done: int, of: int) -> None:
    """To be called after each page or the like that takes long."""
    for listener in _listeners:
        listener(done, of)


def listen(listener: Progress) -> None:
    _listeners.append(listener)
