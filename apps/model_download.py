"""How much of a model has arrived, told while a page waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from mmgen import hub_cache
from mmgen.errors import MmgenError

from . import engine_html

POLL = 0.5  # seconds between two looks


def notes(reference: str, load: Callable[[], Any], check: Callable[[], None] = lambda: None) -> Iterator[str]:
    """`Downloading org/name: 12 MB`, until it is loaded.

    load: fetches it; goes on where nobody waits any more.
    check: raises Cancelled for who waits no more.

    Raises what `load` raises.
    """
    failed: list[MmgenError] = []

    def run() -> None:
        try:
            load()
        except MmgenError as why:
            failed.append(why)

    thread = threading.Thread(target=run, name="mmgen-download", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        check()
        yield f"Downloading {reference}: {engine_html.size(arrived(reference))}"
    if failed:
        raise failed[0]


def arrived(reference: str) -> int:
    """Bytes of a download on the disk."""
    try:
        use, _ = hub_cache.find(reference.partition(":")[0] if not reference.startswith("embedded:") else reference)
    except MmgenError:
        return 0
    return use.bytes + use.partial
