"""A call as it travels to a replica, and what comes back: plain values, whatever carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mmgen.engine.job import Priority
from mmgen.errors import MmgenError


class ReplicaLost(MmgenError):
    """The replica died, or nobody can reach it."""

    status = 503


@dataclass(frozen=True)
class ForwardedCall:
    """An HTTP request, whose it is, and what makes every replica answer it alike."""

    id: str  # of the request, as /v1/requests has it
    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    user: str
    scopes: frozenset[str]
    stores: frozenset[str] | None
    created: float  # seconds since 1970
    seed: int  # of what the call leaves to chance
    priority: Priority = "interactive"


@dataclass(frozen=True)
class ReplicaMessage:
    """A piece of an answer; the last one is an "end"."""

    kind: Literal["start", "body", "end"]
    status: int = 0  # of a start
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    device_ms: float = 0.0  # of an end
    error: str = ""
    kept: Sequence[Mapping[str, Any]] = ()  # entries for the history


@dataclass(frozen=True)
class ReplicaReport:
    """How a replica is."""

    models: Mapping[str, int] = field(default_factory=dict)  # reference -> bytes, of those that are loaded
    queue_s: float = 0.0
    trouble: str = ""
    metrics: str = ""  # Prometheus' text format


class Replica(Protocol):
    """An engine somewhere. All of it raises ReplicaLost."""

    name: str
    where: str  # host and process

    def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]: ...
    async def cancel(self, id: str) -> None: ...
    async def report(self) -> ReplicaReport: ...
    async def stop(self) -> None: ...
