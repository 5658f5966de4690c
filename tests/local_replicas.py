"""Replicas in this process, which can be killed, behind the real ingress."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mmgen.cluster.replica_state import ModelInfo
from mmgen.cluster.router import ClusterRouter
from mmgen.cluster.work import RequestCosts
from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.cluster.call import ForwardedCall, ReplicaLost, ReplicaMessage, ReplicaReport
from mmgen.serve.cluster.dispatcher import Dispatcher
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.replica_app import ReplicaApp
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.settings import ServeConfig


class LocalReplica:
    """A replica whose process is this one. `dies_after`: messages of its answers; None: it lives until it is stopped."""

    def __init__(self, name: str, app: ReplicaApp, dies_after: int | None = None) -> None:
        self.name, self.app, self.dies_after, self.where = name, app, dies_after, "here (process 1)"
        self.dead = asyncio.Event()
        self.calls: list[ForwardedCall] = []

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        self.calls.append(call)
        inner = self.app.call(call)
        try:
            while True:
                self._count()
                ahead, dead = asyncio.ensure_future(anext(inner)), asyncio.ensure_future(self.dead.wait())
                await asyncio.wait([ahead, dead], return_when=asyncio.FIRST_COMPLETED)
                dead.cancel()
                if self.dead.is_set():
                    ahead.cancel()
                    raise ReplicaLost(f"{self.name} was killed")
                try:
                    yield ahead.result()
                except StopAsyncIteration:
                    return
        finally:
            await self.app.cancel(call.id)

    async def cancel(self, id: str) -> None:
        self._check()
        await self.app.cancel(id)

    async def report(self) -> ReplicaReport:
        self._check()
        return await self.app.report()

    async def stop(self) -> None:
        self.dead.set()

    def _count(self) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                self.dead.set()
        self._check()

    def _check(self) -> None:
        if self.dead.is_set():
            raise ReplicaLost(f"{self.name} was killed")


class LocalCluster:
    """A fleet of them; `lives`: messages after which each next replica dies."""

    def __init__(
        self, rt: Runtime, home: Path, group: ReplicaGroup, lives: list[int | None], starts: int = 3, **settings: Any
    ) -> None:
        self.rt, self.home, self.lives, self.started = rt, home, lives, list[LocalReplica]()
        self.settings = ServeConfig(**{"history": True, **settings})
        models = {reference: ModelInfo(1, 0.1) for reference in (rt.config.text, rt.config.denoiser, rt.config.encoder)}
        self.dispatcher = Dispatcher(ClusterRouter(models, 2.0, RequestCosts(1.0), random.Random(0)))
        config = ClusterConfig(replicas={"engine": group}, starts=starts)
        self.fleet = Fleet(self.dispatcher, config, {"engine": frozenset(models)}, self.start)

    async def start(self, name: str, group: ReplicaGroup) -> LocalReplica:
        life = self.lives.pop(0) if self.lives else None
        if life == 0:
            raise ReplicaLost("its model cannot be read")
        app = ReplicaApp(self.rt, self.settings, self.home / "files")
        self.started.append(LocalReplica(name, app, life))
        return self.started[-1]


@pytest.fixture
def cluster(served: Runtime) -> Callable[..., Any]:
    """`with cluster(replicas=2, lives=[5, None]) as (client, cluster): ...`"""

    @contextmanager
    def made(
        replicas: int = 1, lives: list[int | None] | None = None, starts: int = 3, **settings: Any
    ) -> Iterator[tuple[TestClient, LocalCluster]]:
        one = LocalCluster(served, served.home, ReplicaGroup(min=replicas, max=replicas), lives or [], starts, **settings)
        app = create_app(served, ServeConfig(drain_s=1.0, **{"history": False, **settings}), one.fleet)
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            yield client, one

    return made
