"""Replicas as actors of Ray, one a process. Ray is imported where it is asked for.

Plain actors behind this process's own HTTP server, not Ray Serve: its proxies and routers each decide for themselves, by counts
of requests, so that no fair order over all users could hold, and take processes and memory beside the engines.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import __version__
from mmgen.cluster.ray_connection import connect
from mmgen.cluster.replica_state import ModelInfo
from mmgen.cluster.router import ClusterRouter
from mmgen.config import RuntimeConfig
from mmgen.errors import Clash, MmgenError
from mmgen.serve.cluster.call import ForwardedCall, ReplicaLost, ReplicaMessage, ReplicaReport
from mmgen.serve.cluster.dispatcher import Dispatcher
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.placement import Node, check, infos
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.model_catalog import ModelCatalog
from mmgen.serve.settings import ServeConfig

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

log = logging.getLogger(__name__)
PROBE_S = 5.0
KINDS = ("text", "encoder", "denoiser", "cross-encoder")
"""Of models that replicas hold."""


class ReplicaProcess:
    """What runs in the actor's process."""

    def __init__(self, name: str, config: Mapping[str, Any], settings: Mapping[str, Any], files: str) -> None:
        from mmgen.runtime import Runtime
        from mmgen.serve.cluster.replica_app import ReplicaApp

        self._home = tempfile.TemporaryDirectory(prefix=f"mmgen-{name}-")  # keys, history and stores are the ingress's
        self._rt = Runtime(RuntimeConfig(**{**config, "home": self._home.name}))
        self._app = ReplicaApp(self._rt, ServeConfig(**settings), Path(files))

    async def version(self) -> tuple[str, str]:
        """Of mmgen, and where it runs."""
        return __version__, f"{socket.gethostname()} (process {os.getpid()})"

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        async for message in self._app.call(call):
            yield message

    async def cancel(self, id: str) -> None:
        await self._app.cancel(id)

    async def report(self) -> ReplicaReport:
        return await self._app.report()


class RayReplica:
    """The actor, as the dispatcher calls it."""

    def __init__(self, name: str, actor: Any, where: str) -> None:
        self.name, self._actor, self.where = name, actor, where

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        with _told():
            async for reference in self._actor.call.options(num_returns="streaming").remote(call):
                message: ReplicaMessage = await reference
                yield message

    async def cancel(self, id: str) -> None:
        with _told():
            await self._actor.cancel.remote(id)

    async def report(self) -> ReplicaReport:
        with _told():
            found: ReplicaReport = await self._actor.report.remote()
            return found

    async def stop(self) -> None:
        import ray

        ray.kill(self._actor)


class RayReplicas:
    """Starts them; `config` and `settings` are those of every replica."""

    def __init__(self, config: RuntimeConfig, settings: ServeConfig, files: Path) -> None:
        same = {"precision": "safe", "metrics_port": None, "trace": None}  # measured on each, precisions could differ
        self._config = {**config.model_dump(mode="json"), **same}
        served = settings.model_dump(mode="json", include={"models", "max_body", "fetch_urls", "history"})
        self._settings, self._files = {**served, "max_requests": 1024}, files

    async def start(self, name: str, group: ReplicaGroup) -> RayReplica:
        """Raises ReplicaLost where it dies meanwhile, Clash where its node has another version of mmgen."""
        import ray

        made = ray.remote(ReplicaProcess).options(
            num_cpus=group.cpus, num_gpus=group.gpus, max_restarts=0, max_task_retries=0, max_concurrency=1024
        )
        actor = made.remote(name, self._config, self._settings, str(self._files))
        try:
            with _told():
                version, where = await actor.version.remote()
        except BaseException:
            ray.kill(actor)
            raise
        if version != __version__:
            ray.kill(actor)
            raise Clash(f"replica {name} at {where} is mmgen {version}, this server {__version__}; install the same version")
        return RayReplica(name, actor, where)


@contextmanager
def fleet(address: str, rt: Runtime, settings: ServeConfig) -> Iterator[Fleet]:
    """Connected to the Ray at that address; "local" starts one, "auto" finds one on this machine. It is left at the end.

    Raises BadRequest without Ray, NotFound where there is none at the address, Clash for one of another version, TooLarge for
    a group or model that fits no node, Busy where Ray does not come up.
    """
    config, groups = settings.cluster or ClusterConfig(), (settings.cluster or ClusterConfig()).named()
    placed, models = _placed(ModelCatalog(rt, settings.models), groups)
    connect(address, sum(group.min * group.cpus for group in groups.values()))
    import ray

    try:
        check(groups, nodes(), models)
        replicas = RayReplicas(rt.config, settings, rt.home / "files")
        dispatcher = Dispatcher(ClusterRouter(models, config.window_s))
        made = Fleet(dispatcher, config, placed, replicas.start)
        made.find_trouble = partial(head_trouble, ray.get_runtime_context().gcs_address)
        yield made
    finally:
        ray.shutdown()


async def head_trouble(address: str) -> str:
    """What is told where Ray's head does not answer; empty where it does."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(PROBE_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except (OSError, TimeoutError):
        return (
            f"Ray's head at {address} is lost: replicas go on answering for about a minute, then Ray ends this server; start "
            "Ray again, and then this server. Keys, history, batches and stores are kept; streams under way then are not"
        )
    writer.close()
    return ""


def _placed(
    catalog: ModelCatalog, groups: Mapping[str, ReplicaGroup]
) -> tuple[dict[str, frozenset[str]], dict[str, ModelInfo]]:
    """The models of each group, and what they need."""
    every = [one.reference for one in catalog.served() if one.kind in KINDS]
    placed = {
        name: frozenset(catalog.get(one).reference for one in group.models) if group.models else frozenset(every)
        for name, group in groups.items()
    }
    found = infos(frozenset[str]().union(*placed.values()))
    named = {name: found[catalog.get(name).reference] for group in groups.values() for name in group.models}
    return placed, {**named, **found}


def nodes() -> list[Node]:
    """Of the Ray that is connected."""
    import ray

    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            found.append(Node(node["NodeID"], has.get("CPU", 0.0), has.get("GPU", 0.0), int(has.get("memory", 0))))
    return found


@contextmanager
def _told() -> Iterator[None]:
    """Ray's errors as ours."""
    from ray import exceptions

    try:
        yield
    except exceptions.RayTaskError as why:
        if isinstance(why.cause, MmgenError):
            raise why.cause from None
        raise
    except exceptions.RayError as why:
        raise ReplicaLost(reason(str(why))) from None


def reason(told: str) -> str:
    """Of a dead actor, in a line: what its start raised, or what Ray says of its process."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    if "creation task" in told or not lines:
        return lines[-1][:300] if lines else "no reason given"
    dead = next((line for line in lines if line.startswith("The actor is dead because")), lines[0])
    return dead.partition(" Worker exit detail")[0][:300]
