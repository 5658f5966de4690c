"""Calls to replicas and back, on the ingress's event loop: each waits its turn, and is played again where a replica dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from mmgen.cluster.replay import StreamReplay
from mmgen.cluster.replica_state import ReplicaState
from mmgen.cluster.router import ALONE, ClusterRouter
from mmgen.cluster.work import ClusterRequest
from mmgen.errors import Cancelled, Closed, MmgenError
from mmgen.serve.cluster.call import ForwardedCall, Replica, ReplicaLost, ReplicaMessage, ReplicaReport

log = logging.getLogger(__name__)
MOST_PLAYS = 12
"""Replicas that a request may see die: it may be what kills them."""
LONGEST_PAUSE_S = 30.0
"""Between two of its plays: where replicas die of something else, as on a machine without memory, that has to pass first."""


class Dispatcher:
    """The router, and the replicas that it decides about."""

    def __init__(self, router: ClusterRouter) -> None:
        self.router = router
        self.replicas: dict[str, Replica] = {}
        self.reports: dict[str, ReplicaReport] = {}
        self.users: dict[str, float] = {}  # user -> device-milliseconds on replicas
        self.lost: Callable[[str, str], None] = lambda name, why: None  # is told of a replica that died
        self.troubles: Callable[[str], str] = lambda model: ""  # why no replica will ever take a model; empty: one may
        self.replayed = self.deaths = 0
        self.answered: dict[str, int] = {}  # group of replicas -> answers that one of them has begun
        self._turns: dict[str, asyncio.Future[Replica]] = {}

    def add(self, replica: Replica, state: ReplicaState) -> None:
        """It takes calls from now on."""
        self.replicas[replica.name] = replica
        self.router.join(state)
        self._decide()

    def takes(self, model: str) -> bool:
        """Whether replicas answer for it; if not, this process does."""
        return model in self.router.models

    def remove(self, name: str, why: str = "") -> None:
        """It died, or was stopped: what was under way there is played again. Later calls for the same name do nothing."""
        if self.replicas.pop(name, None) is None:
            return
        self.reports.pop(name, None)
        again = self.router.leave(name)
        for work in again:
            self._turns[work.id] = asyncio.get_running_loop().create_future()
            if why and (pause := pause_s(work.plays)):
                self.router.cancel(work)
                asyncio.get_running_loop().call_later(pause, self._resume, work, self._turns[work.id])
        if why:
            self.deaths += 1
            log.warning("replica %s is lost (%s); %d requests are played again elsewhere", name, why, len(again))
            self.lost(name, why)
        self._decide()

    def reported(self, name: str, report: ReplicaReport) -> None:
        """What a replica says of itself. Models are named by kind and reference there."""
        if name not in self.replicas:
            return
        self.reports[name] = report
        known = self.router.replicas[name].may_hold
        loaded = {model: self.router.models[model].nbytes for model in known if _among(model, report.models)}
        self.router.report(name, loaded)
        self._decide()

    def fail_waiting(self) -> None:
        """Tells those who wait for a model that nobody will ever take."""
        for queue in list(self.router.waiting.models.values()):
            for work in [one for theirs in queue.users.values() for one in theirs]:
                turn = self._turns.get(work.id)
                if (why := self.troubles(work.model)) and turn is not None and not turn.done():
                    turn.set_exception(Closed(why))

    def spent(self, local: Mapping[str, float]) -> dict[str, float]:
        """Device-milliseconds by user, with those of this process."""
        return {user: local.get(user, 0.0) + self.users.get(user, 0.0) for user in {*local, *self.users}}

    async def play(
        self, work: ClusterRequest, call: ForwardedCall, stop: asyncio.Event
    ) -> AsyncGenerator[ReplicaMessage, None]:
        """The answer, as if one replica had given it: a start, bodies, an end.

        `stop`: the caller wants no more. Raises what the router has against it, Cancelled before it has begun, ReplicaLost
        after too many deaths, ReplicaDiffers where it cannot go on.
        """
        if why := self.troubles(work.model):
            raise Closed(why)
        self._turns[work.id] = asyncio.get_running_loop().create_future()
        answer, ended = _Replayed(), False
        try:
            self.router.submit(work)
            self._decide()
            while not ended:
                replica = await self._turn(work, stop)
                messages = replica.call(call)
                stopping = asyncio.create_task(_cancel_when(stop, replica, call.id))
                try:
                    async for message in messages:
                        if message.kind == "start":
                            self._answered(replica)
                        elif message.kind == "end":
                            ended = True
                            self._finished(work, message)
                        for fresh in answer.fresh(message):
                            yield fresh
                    if not ended:
                        raise ReplicaLost(f"replica {replica.name} ended in the middle of an answer")
                except ReplicaLost as why:
                    self._again(work, replica, str(why))
                finally:
                    stopping.cancel()
                    with suppress(Exception):
                        await messages.aclose()  # type: ignore[attr-defined]
        finally:
            self._turns.pop(work.id, None)
            if not ended:
                self.router.cancel(work)
                self._decide()

    async def _turn(self, work: ClusterRequest, stop: asyncio.Event) -> Replica:
        """Waits until the router has sent it somewhere."""
        turn: asyncio.Future[Any] = self._turns[work.id]
        stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([turn, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                raise Cancelled(f"request {work.id} was cancelled")
            replica: Replica = turn.result()
            return replica
        finally:
            stopped.cancel()

    def _again(self, work: ClusterRequest, replica: Replica, why: str) -> None:
        if self.replicas.get(replica.name) is replica:
            self.remove(replica.name, why)
        self.replayed += 1
        if work.plays >= MOST_PLAYS:
            raise ReplicaLost(f"{work.plays} replicas died under request {work.id}, the last by: {why}; it is given up")

    def _resume(self, work: ClusterRequest, turn: asyncio.Future[Replica]) -> None:
        if self._turns.get(work.id) is turn:  # it is still wanted
            self.router.resume(work)
            self._decide()

    def _answered(self, replica: Replica) -> None:
        group = replica.name.rpartition("-")[0]
        self.answered[group] = self.answered.get(group, 0) + 1

    def _finished(self, work: ClusterRequest, end: ReplicaMessage) -> None:
        self.router.finished(work, end.device_ms if end.device_ms and not end.error else None)
        self.users[work.user] = self.users.get(work.user, 0.0) + end.device_ms
        self._decide()

    def _decide(self) -> None:
        for sent in self.router.ready():
            turn = self._turns.get(sent.request.id)
            if turn is not None and not turn.done():
                turn.set_result(self.replicas[sent.replica])


def pause_s(plays: int) -> float:
    """Seconds before a request is played again under which so many replicas died: doubled from when it had one for itself."""
    return 0.0 if plays <= ALONE else min(LONGEST_PAUSE_S, 2.0 ** (plays - ALONE - 1))


class _Replayed:
    """An answer that may come from several replicas, each from its beginning."""

    def __init__(self) -> None:
        self._start: ReplicaMessage | None = None  # held until there is something behind it: it could not be taken back
        self._replay: StreamReplay | None = None

    def fresh(self, message: ReplicaMessage) -> Iterator[ReplicaMessage]:
        """What of it the client has not had."""
        if message.kind == "start":
            if self._replay is None:
                self._start = message
            else:
                self._replay.again()
            return
        if self._start is not None:
            self._replay = StreamReplay(_media_type(self._start))
            yield self._start
            self._start = None
        if self._replay is not None and (body := self._replay.fresh(message.body, last=message.kind == "end")):
            yield ReplicaMessage("body", body=body)
        if message.kind == "end":
            yield message


async def _cancel_when(stop: asyncio.Event, replica: Replica, id: str) -> None:
    await stop.wait()
    with suppress(MmgenError):
        await replica.cancel(id)


def _media_type(start: ReplicaMessage) -> str:
    return next((value.decode("latin-1") for name, value in start.headers if name.lower() == b"content-type"), "")


def _among(model: str, loaded: Collection[str]) -> bool:
    return any(name == model or name.endswith(f" {model}") for name in loaded)
