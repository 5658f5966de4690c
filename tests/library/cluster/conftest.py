"""The stages run in this process, one file at a time and in another order: what a cluster may do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from mmgen.library.cluster import ray_stages
from mmgen.library.cluster.stages import Stage, StageRow, StageRuntime
from mmgen.runtime import Runtime


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that went through them."""
    files: list[str] = []

    def run(given: Sequence[str], read: Stage, embed: Stage) -> Iterator[StageRow]:
        files.extend(given)
        first, second = read.open(), embed.open()
        for number in reversed(range(0, len(given), 2)):
            yield from second(first([StageRow(one) for one in given[number : number + 2]]))

    @contextmanager
    def cluster(address: str) -> Iterator[Any]:
        assert address == "here"
        yield run

    monkeypatch.setattr(ray_stages, "cluster", cluster)
    return files


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stages open this runtime instead of one of their own."""

    def use(rt: Runtime) -> None:
        monkeypatch.setattr(StageRuntime, "open", lambda _: rt)

    return use
