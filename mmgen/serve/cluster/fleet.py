"""Keeps as many replicas of each group as there should be: starts them, asks how they are, replaces those that died."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from mmgen.cluster.autoscale import Autoscaler
from mmgen.cluster.replica_state import ReplicaState
from mmgen.errors import Busy, MmgenError, NotFound
from mmgen.serve.cluster.call import Replica, ReplicaLost
from mmgen.serve.cluster.dispatcher import Dispatcher
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.model_catalog import ServedModel

log = logging.getLogger(__name__)
TICK_S, POLL_S, WATCH_S = 1.0, 0.05, 2.0

StartReplica = Callable[[str, ReplicaGroup], Awaitable[Replica]]
"""Name and group -> a replica that is ready. Raises whatever is wrong."""


@dataclass(eq=False)
class GroupState:
    """A group and its replicas."""

    name: str
    group: ReplicaGroup
    models: frozenset[str]
    scaler: Autoscaler
    names: set[str] = field(default_factory=set)  # ready, or starting
    failures: int = 0  # in a row
    trouble: str = ""  # why it stopped trying
    numbers: count[int] = field(default_factory=count)


class Fleet:
    """On the ingress's event loop."""

    served: tuple[ServedModel, ...] = ()  # models that only its replicas know

    def __init__(
        self, dispatcher: Dispatcher, config: ClusterConfig, models: Mapping[str, frozenset[str]], start: StartReplica
    ) -> None:
        """`models`: what the replicas of each group may hold."""
        self.dispatcher, self.config, self.start_one = dispatcher, config, start
        self.groups = {
            name: GroupState(name, group, models[name], Autoscaler(
                group.min, group.max, config.grow_s, config.shrink_s, config.idle_s
            ))
            for name, group in config.named().items()
        }  # fmt: skip
        self._group_of: dict[str, GroupState] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._heard: dict[str, float] = {}  # replica -> when it last answered
        self._answered: dict[str, int] = {}  # group -> answers that had begun when a replica of it last failed
        self._updating = False
        self.trouble = ""  # of the cluster as a whole
        self.find_trouble: Callable[[], Awaitable[str]] | None = None  # looks for it
        self.loop: asyncio.AbstractEventLoop | None = None  # between `begin` and `close`
        dispatcher.lost, dispatcher.troubles = self._lost, self._trouble

    def begin(self) -> None:
        """From now on until `close`."""
        self.loop = asyncio.get_running_loop()
        for state in self.groups.values():
            for _ in range(state.group.min):
                self._begin_one(state)
        self._spawn(self._run())
        if self.find_trouble is not None:
            self._spawn(self._watch(self.find_trouble))

    async def close(self) -> None:
        self.loop = None
        for task in list(self._tasks):
            task.cancel()
        for replica in list(self.dispatcher.replicas.values()):
            with suppress(Exception):
                await replica.stop()

    async def ready(self, replicas: int = 1) -> None:
        """Waits until there are so many. Raises the trouble of a group that stopped trying."""
        while len(self.dispatcher.replicas) < replicas:
            for state in self.groups.values():
                if state.trouble:
                    raise ReplicaLost(state.trouble)
            await asyncio.sleep(POLL_S)

    async def kill(self, name: str) -> None:
        """As if it died. Raises NotFound."""
        replica = self.dispatcher.replicas.get(name)
        if replica is None:
            raise NotFound(f"there is no replica {name!r}; there are {', '.join(self.dispatcher.replicas) or 'none'}")
        await replica.stop()

    async def update(self) -> list[str]:
        """Replaces all replicas one after another, by new processes that read code and weights anew; returns their names.

        Each first gets nothing new, and ends when it has answered what it had, or after `drain_s`: the rest is played again
        elsewhere. No request fails by it; where a group has one replica its requests wait.

        Raises Busy while another update is under way, ReplicaLost where a new one does not start: the others stay as they are.
        """
        if self._updating:
            raise Busy("the replicas are being replaced already; wait for that to end")
        self._updating = True
        try:
            return [await self._replace(name) for name in list(self.dispatcher.replicas) if name in self._group_of]
        finally:
            self._updating = False

    async def _replace(self, old: str) -> str:
        state, replica, router = self._group_of[old], self.dispatcher.replicas.get(old), self.dispatcher.router
        if replica is not None:
            router.drain(old)
            ends = time.monotonic() + self.config.drain_s
            while old in router.replicas and router.replicas[old].sent and time.monotonic() < ends:
                await asyncio.sleep(POLL_S)
        name = self._begin_one(state)
        if self.dispatcher.replicas.get(old) is replica and replica is not None:
            self._forget(old)
            self.dispatcher.remove(old)
            await self._give_up(replica, "")
        while name not in self.dispatcher.replicas:
            if name not in state.names:
                raise ReplicaLost(
                    f"the update ended at {old}: {state.trouble or 'the new replica did not start, see the log'}; "
                    "replicas that were not reached are as before"
                )
            await asyncio.sleep(POLL_S)
        return name

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for name, replica in list(self.dispatcher.replicas.items()):
                self._spawn(self._ask(name, replica))
                if time.monotonic() - self._heard.get(name, time.monotonic()) > self.config.silent_s:
                    await self._give_up(replica, f"no answer for {self.config.silent_s:g} s")
            for state in self.groups.values():
                self._scale(state)

    async def _watch(self, find: Callable[[], Awaitable[str]]) -> None:
        """Tells once when there is trouble, and once when it is over."""
        while True:
            found = await find()
            if bool(found) != bool(self.trouble):
                log.error("%s", found or "the cluster is as it should be again")
            self.trouble = found
            await asyncio.sleep(WATCH_S)

    async def _ask(self, name: str, replica: Replica) -> None:
        try:
            report = await replica.report()
        except ReplicaLost as why:
            if self.dispatcher.replicas.get(name) is replica:
                self.dispatcher.remove(name, str(why))
            return
        self._heard[name] = time.monotonic()
        self.dispatcher.reported(name, report)

    async def _give_up(self, replica: Replica, why: str) -> None:
        if self.dispatcher.replicas.get(replica.name) is replica:
            self.dispatcher.remove(replica.name, why)
        with suppress(Exception):
            await replica.stop()

    def _scale(self, state: GroupState) -> None:
        if state.trouble or self._updating:
            return
        wanted = state.scaler.wanted(len(state.names), self.dispatcher.router.queue_s(state.models), time.monotonic())
        for _ in range(wanted - len(state.names)):
            self._begin_one(state)
        if wanted < len(state.names):
            idle = [name for name in state.names if name in self.dispatcher.replicas]
            unused = [name for name in idle if not self.dispatcher.router.replicas[name].sent]
            if unused:
                name = unused[-1]
                log.info("replica %s is stopped: there is little to do", name)
                replica = self.dispatcher.replicas[name]
                self._forget(name)
                self.dispatcher.remove(name)
                self._spawn(self._give_up(replica, ""))

    def _begin_one(self, state: GroupState) -> str:
        name = f"{state.name}-{next(state.numbers)}"
        state.names.add(name)
        self._group_of[name] = state
        self._spawn(self._start(state, name))
        return name

    async def _start(self, state: GroupState, name: str) -> None:
        try:
            replica = await asyncio.wait_for(self.start_one(name, state.group), self.config.start_s)
        except Exception as why:
            told = f"not ready after {self.config.start_s:g} s" if isinstance(why, TimeoutError) else str(why)
            log.warning("replica %s could not be started: %s", name, told)
            self._lost(name, told)
            return
        memory = None if state.group.memory is None else int(state.group.memory)
        self._heard[name] = time.monotonic()
        self.dispatcher.add(replica, ReplicaState(name, state.models, memory, state.group.slots))

    def _lost(self, name: str, why: str) -> None:
        """A replica died, or never came to be; another takes its place, unless that has been tried often enough."""
        state = self._forget(name)
        if state is None:
            return
        answered = self.dispatcher.answered.get(state.name, 0)
        state.failures = 1 if answered > self._answered.get(state.name, 0) else state.failures + 1
        self._answered[state.name] = answered
        if state.failures >= self.config.starts and not state.trouble:
            lines = why.strip().splitlines() or ["no reason given"]
            state.trouble = (
                f"replicas of {state.name} died {state.failures} times in a row before they answered anything, the last: "
                f"{lines[-1][:300]}; no more are started, see their log"
            )
            log.error("%s", state.trouble)
            self.dispatcher.fail_waiting()
        if not state.trouble and len(state.names) < state.group.min:
            self._begin_one(state)

    def _forget(self, name: str) -> GroupState | None:
        self._heard.pop(name, None)
        state = self._group_of.pop(name, None)
        if state is not None:
            state.names.discard(name)
        return state

    def _trouble(self, model: str) -> str:
        """Why no replica will take that model; empty while one may."""
        able = [state for state in self.groups.values() if model in state.models]
        troubles = [state.trouble for state in able if state.trouble]
        return troubles[0] if troubles and len(troubles) == len(able) and not any(state.names for state in able) else ""

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (why := task.exception()) is not None and not isinstance(why, MmgenError):
            log.error("the cluster's own work failed", exc_info=why)
