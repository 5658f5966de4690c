"""The fleet of `mmgen serve` without Ray: a replica a device, and one for each engine that the settings name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mmgen.cluster.replica_state import ModelInfo
from mmgen.cluster.router import ClusterRouter
from mmgen.errors import BadRequest
from mmgen.serve.cluster.call import Replica
from mmgen.serve.cluster.dispatcher import Dispatcher
from mmgen.serve.cluster.fleet import Fleet, StartReplica
from mmgen.serve.cluster.placement import infos
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.engines.device_replica import DeviceReplica, memory_of
from mmgen.serve.engines.http_stream import HttpEndpoint
from mmgen.serve.engines.openai_replica import OpenAIReplica, listed
from mmgen.serve.engines.settings import EngineAddress
from mmgen.serve.model_catalog import ModelCatalog, ServedModel
from mmgen.serve.settings import ServeConfig

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

KINDS = ("text", "encoder", "denoiser", "cross-encoder")
"""Of models that are placed on devices."""
LOAD_S = 0.1
"""Of a model on an engine that has it already."""


@contextmanager
def fleet(rt: Runtime, settings: ServeConfig) -> Iterator[Fleet]:
    """Of `settings.devices` and `settings.engines`.

    Raises BadRequest for no address or a key that is not set, NotFound for an engine that does not answer and whose
    models are not told.
    """
    groups, models = dict[str, ReplicaGroup](), dict[str, frozenset[str]]()
    for name, address in settings.engines.items():
        models[name] = frozenset(address.models) or listed(endpoint(name, address))
        groups[name] = ReplicaGroup(slots=address.slots)
    placed = [one.reference for one in ModelCatalog(rt, settings.models).served() if one.kind in KINDS]
    known = infos(placed) if settings.devices else {}
    devices = device_groups(settings.devices, lambda device: memory_of(device, rt.config.memory_limit))
    for name, group in devices.items():
        groups[name], models[name] = group, frozenset(placed)
    elsewhere = sorted(frozenset[str]().union(*(models[name] for name in settings.engines)))
    made = Fleet(
        Dispatcher(ClusterRouter({**known, **dict.fromkeys(elsewhere, ModelInfo(0, LOAD_S))}, _window(settings))),
        ClusterConfig(replicas=groups),
        models,
        _starter(rt, settings, models, dict(zip(devices, settings.devices, strict=True))),
    )
    made.served = tuple(ServedModel(name, name, "text") for name in elsewhere)
    yield made


def device_groups(devices: tuple[str, ...], memory: Callable[[str], int | None]) -> dict[str, ReplicaGroup]:
    """A group of one replica for each device, which the router places models on by its bytes."""
    return {f"device{number}": ReplicaGroup.model_validate({"memory": memory(device)}) for number, device in enumerate(devices)}


def endpoint(name: str, address: EngineAddress) -> HttpEndpoint:
    """With its key. Raises BadRequest."""
    headers = {}
    if address.key_env is not None:
        key = os.environ.get(address.key_env)
        if not key:
            raise BadRequest(f"engines.{name}.key_env names {address.key_env}, which is not set; export it first")
        headers["Authorization"] = f"Bearer {key}"
    return HttpEndpoint(address.url, headers, address.slots + 2)


def _window(settings: ServeConfig) -> float:
    return (settings.cluster or ClusterConfig()).window_s


def _starter(
    rt: Runtime, settings: ServeConfig, models: Mapping[str, frozenset[str]], devices: Mapping[str, str]
) -> StartReplica:
    async def start(name: str, group: ReplicaGroup) -> Replica:
        kind = name.rpartition("-")[0]
        if kind in devices:
            files = rt.home / "files"
            return await asyncio.to_thread(DeviceReplica, name, devices[kind], rt.config, settings, files)
        address = settings.engines[kind]
        replica = OpenAIReplica(name, endpoint(kind, address), models[kind])
        await replica.ready()
        return replica

    return start
