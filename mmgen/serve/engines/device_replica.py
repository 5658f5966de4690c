"""An engine on one device of this machine as a replica: a runtime of its own in this process, behind the router."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime
from mmgen.serve.cluster.call import ForwardedCall, ReplicaLost, ReplicaMessage, ReplicaReport
from mmgen.serve.cluster.replica_app import ReplicaApp
from mmgen.serve.settings import ServeConfig

SAME = {"precision": "safe", "metrics_port": None, "trace": None}
"""Measured on each device, precisions could differ, and then answers."""


class DeviceReplica:
    """Its scheduler, ledger and models are its own; the process, and Python's lock, it shares."""

    def __init__(self, name: str, device: str, config: RuntimeConfig, settings: ServeConfig, files: Path) -> None:
        """`config`, `settings`: of the server; `files`: its folder of images that are answered as URLs."""
        self.name, self.device, self.where = name, device, f"{device} of this process"
        self._home = tempfile.TemporaryDirectory(prefix=f"mmgen-{name}-")  # keys, history and stores are the server's
        self.rt = Runtime(config.model_copy(update={**SAME, "device": device, "home": Path(self._home.name)}))
        self._app = ReplicaApp(self.rt, settings, files)
        self._stopped = False

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        self._check()
        async for message in self._app.call(call):
            yield message

    async def cancel(self, id: str) -> None:
        await self._app.cancel(id)

    async def report(self) -> ReplicaReport:
        self._check()
        return await self._app.report()

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._app.close()
            await asyncio.to_thread(self.rt.close, drain=False)
            self._home.cleanup()

    def _check(self) -> None:
        if self._stopped:
            raise ReplicaLost(f"{self.name} was stopped")


def memory_of(device: str, limit: int | None) -> int | None:
    """Bytes that models of a device may take: of a GPU nine tenths of its own, unless `limit` says less; None: no limit."""
    if not device.startswith("cuda"):
        return limit
    import torch

    whole = int(0.9 * torch.cuda.get_device_properties(torch.device(device)).total_memory)
    return whole if limit is None else min(limit, whole)
