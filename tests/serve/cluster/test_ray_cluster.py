"""Real replicas: processes of Ray's, tiny models. Starting Ray is most of the time."""

import importlib.util
import json
import os
import random
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from local_server import listening
from ray_nodes import joined, nodes

from mmgen import __version__
from mmgen.config import RuntimeConfig
from mmgen.errors import Clash, MmgenError
from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.cluster import ray_cluster
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.placement import check
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.settings import ServeConfig

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
httpx = pytest.importorskip("httpx")
LONG = 200
"""Tokens of a stream that takes long enough to be killed in."""


def test_why_an_actor_died_is_a_line() -> None:
    created = (
        "The actor died because of an error raised in its creation task, ray::A\n  File x\nmmgen.errors.NotFound: no model"
    )
    assert ray_cluster.reason(created) == "mmgen.errors.NotFound: no model"
    killed = "The actor died unexpectedly.\n\tclass_name: A\nThe actor is dead because its worker died. Worker exit detail: x"
    assert ray_cluster.reason(killed) == "The actor is dead because its worker died."


async def test_a_head_that_does_not_answer_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        assert await ray_cluster.head_trouble(address) == ""
    told = await ray_cluster.head_trouble(address)
    assert told.startswith(f"Ray's head at {address} is lost: replicas go on answering for about a minute, then Ray ends this")
    assert "Keys, history, batches and stores are kept" in told


class FakeActor:
    """An actor's methods, which answer at once."""

    def __init__(self, version: str) -> None:
        self.version = SimpleNamespace(remote=lambda: self._version(version))

    async def _version(self, version: str) -> tuple[str, str]:
        return version, "far (process 7)"


async def test_another_version_on_a_node_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killed: list[FakeActor] = []
    actor = FakeActor("0.0.1")
    options = SimpleNamespace(remote=lambda *_: actor)
    fake = SimpleNamespace(
        remote=lambda _: SimpleNamespace(options=lambda **_: options), kill=killed.append, exceptions=SimpleNamespace()
    )
    errors = SimpleNamespace(RayTaskError=type("A", (Exception,), {}), RayError=type("B", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.exceptions", errors)
    monkeypatch.setattr(fake, "exceptions", errors)
    replicas = ray_cluster.RayReplicas(RuntimeConfig(home=tmp_path), ServeConfig(), tmp_path)
    told = rf"replica engine-0 at far \(process 7\) is mmgen 0\.0\.1, this server {re.escape(__version__)}; install the same"
    with pytest.raises(Clash, match=told):
        await replicas.start("engine-0", ReplicaGroup())
    assert killed == [actor]
    actor.version = FakeActor(__version__).version
    made = await replicas.start("engine-1", ReplicaGroup())
    assert (made.name, made.where) == ("engine-1", "far (process 7)")


@contextmanager
def serving(ray: str, home: Path, text: Path, denoiser: Path, replicas: int) -> Iterator[tuple[str, Fleet]]:
    """A server's address and fleet."""
    config = RuntimeConfig(home=home, device="cpu", threads=1, text=str(text), denoiser=str(denoiser))
    group = ReplicaGroup(models=("tiny", denoiser.name, "embedded:minilm"), min=replicas, max=replicas, cpus=1)
    cluster = ClusterConfig(replicas={"engine": group}, window_s=20.0, starts=99)
    settings = ServeConfig(drain_s=1.0, history=True, cluster=cluster)
    with (
        Runtime(config) as rt,
        ray_cluster.fleet(ray, rt, settings) as fleet,
        listening(create_app(rt, settings, fleet)) as address,
    ):
        started = started_here()
        wait(lambda: len(fleet.dispatcher.replicas) == replicas, 400)
        yield address, fleet
    for process in started:  # Ray ends them, and does not look at how they ended
        process.wait(30)


def started_here() -> list[Any]:
    """Ray's own processes, where this process started them."""
    from ray._private import worker

    node = worker._global_node
    return [] if node is None else [info.process for infos in node.all_processes.values() for info in infos]


@pytest.fixture
def server(
    quick_start: None, tiny_llama: Path, pixel_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Fleet]]:
    """Two replicas on a Ray that `mmgen serve --ray local` starts."""
    with serving("local", tmp_path_factory.mktemp("ingress"), tiny_llama, pixel_model, 2) as found:
        yield found


def wait(until: Any, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.05)


def text_of(address: str, seed: int, tokens: int = 60) -> str:
    """What a stream says; raises what it fails with."""
    body = {"model": "tiny", "prompt": f"one two {seed}", "max_tokens": tokens, "seed": seed, "stream": True}
    found = ""
    with httpx.stream("POST", f"{address}/v1/completions", json=body, timeout=300) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                told = json.loads(line[6:])
                assert "error" not in told, told
                found += "".join(choice["text"] for choice in told["choices"])
    assert line == "data: [DONE]" or not line
    return found


def image_of(address: str, name: str, seed: int) -> str:
    body = {"model": name, "prompt": "a red apple", "seed": seed, "steps": 4, "response_format": "b64_json"}
    answer = httpx.post(f"{address}/v1/images/generations", json=body, timeout=300).raise_for_status()
    return str(answer.json()["data"][0]["b64_json"])


def kill_one(fleet: Any, rng: random.Random) -> bool:
    """The process of a replica, as a kernel does that runs out of memory."""
    import ray

    ready = list(fleet.dispatcher.replicas.values())
    if not ready:
        return False
    try:
        _, where = ray.get(rng.choice(ready)._actor.version.remote(), timeout=5)
        os.kill(int(where.rpartition(" ")[2].rstrip(")")), signal.SIGKILL)
    except Exception:  # it has died already
        return False
    return True


def test_streams_and_an_image_survive_a_killed_process(server: Any, pixel_model: Path) -> None:
    """What they give is what they gave undisturbed; history holds each once; another replica is started."""
    address, fleet = server
    before = len(history_of(address))
    texts = [text_of(address, seed) for seed in range(4)]
    image = image_of(address, pixel_model.name, 1)
    wait(lambda: len(history_of(address)) == before + 5, 30)  # an image is kept behind its last byte
    deaths = fleet.dispatcher.deaths
    with ThreadPoolExecutor(6) as pool:
        streams = [pool.submit(text_of, address, seed) for seed in range(4)]
        drawn = pool.submit(image_of, address, pixel_model.name, 1)
        wait(lambda: any(one.sent for one in fleet.dispatcher.router.replicas.values()), 60)
        assert kill_one(fleet, random.Random(0))
        assert [one.result() for one in streams] == texts and drawn.result() == image
    wait(lambda: fleet.dispatcher.deaths > deaths, 120)
    wait(lambda: len(history_of(address)) == before + 10, 30)
    with pytest.raises(MmgenError, match="takes 64 CPUs, the largest node has"):
        check({"engine": ReplicaGroup(cpus=64)}, ray_cluster.nodes(), {})
    told = httpx.get(f"{address}/metrics", timeout=60).text
    assert 'replica="engine-' in told and "mmgen_cluster_deaths_total" in told


def history_of(address: str) -> list[str]:
    """Ids of all entries."""
    found: list[str] = []
    while True:
        more = {"before": found[-1]} if found else {}
        told = httpx.get(f"{address}/v1/history", params={"limit": 90, **more}, timeout=60).raise_for_status().json()
        found += [one["id"] for one in told["data"]]
        if not told["has_more"]:
            return found


@pytest.mark.slow
def test_a_minute_of_kills_while_nodes_come_and_go(
    quick_start: None, tiny_llama: Path, pixel_model: Path, tmp_path: Path
) -> None:
    """100 streams and 20 images; every two seconds a random replica is killed; a node joins, another is lost with what runs on
    it. None is lost, none comes twice, all are as undisturbed."""
    with (
        nodes(2, 2) as cluster,
        serving(cluster.address, tmp_path, tiny_llama, pixel_model, 3) as (address, fleet),
        ThreadPoolExecutor(40) as pool,
    ):
        (second,) = cluster.worker_nodes
        texts = [text_of(address, seed, LONG) for seed in range(10)]
        images = [image_of(address, pixel_model.name, seed) for seed in range(4)]
        before, killed, began = len(history_of(address)), 0, time.monotonic()
        calls = [pool.submit(later, began + 0.5 * n, text_of, address, n % 10, LONG) for n in range(100)]
        calls += [pool.submit(later, began + 2.5 * n, image_of, address, pixel_model.name, n % 4) for n in range(20)]
        rng = random.Random(5)
        for tick in range(300):
            if tick >= 30 and all(one.done() for one in calls):
                break
            time.sleep(max(0.0, began + 2 * (tick + 1) - time.monotonic()))
            if tick < 30:
                killed += kill_one(fleet, rng)  # none where all are just being started
            if tick == 8:
                joined(cluster, 2)
            if tick == 16:
                cluster.remove_node(second, allow_graceful=False)
        found = [one.result() for one in calls]
        told = fleet.dispatcher
        print(f"{killed} killed, {told.deaths} deaths seen, {told.replayed} played again, {time.monotonic() - began:.0f} s")
        assert found[:100] == [texts[n % 10] for n in range(100)]
        assert found[100:] == [images[n % 4] for n in range(20)]
        assert killed > 2 and told.replayed > 0
        kept = history_of(address)
        assert len(kept) == len(set(kept)) == before + 120
        assert not len(told.router.waiting) and not any(one.sent for one in told.router.replicas.values())


def later(at: float, call: Any, *args: Any) -> Any:
    time.sleep(max(0.0, at - time.monotonic()))
    return call(*args)
