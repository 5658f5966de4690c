"""Real replicas: processes of Ray's, tiny models. Starting Ray is most of the time."""

import importlib.util
import json
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_server import listening

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, Busy, MmgenError, NotFound
from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.cluster import ray_cluster
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.placement import check
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.settings import ServeConfig

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
httpx = pytest.importorskip("httpx")


def test_no_ray_at_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        told = rf"there is no Ray at 127\.0\.0\.1:{port} \(.*\); start one with `ray start --head --port {port}`"
        with pytest.raises(NotFound, match=told):
            ray_cluster.connect(f"127.0.0.1:{port}", 1)
    with pytest.raises(BadRequest, match="somewhere is no address of a Ray; give HOST:PORT, auto or local"):
        ray_cluster.connect("somewhere", 1)


def test_why_an_actor_died_is_a_line() -> None:
    created = (
        "The actor died because of an error raised in its creation task, ray::A\n  File x\nmmgen.errors.NotFound: no model"
    )
    assert ray_cluster.reason(created) == "mmgen.errors.NotFound: no model"
    killed = "The actor died unexpectedly.\n\tclass_name: A\nThe actor is dead because its worker died. Worker exit detail: x"
    assert ray_cluster.reason(killed) == "The actor is dead because its worker died."


@pytest.fixture(scope="module")
def quick_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray's processes find this package, and do without what jsonschema imports for seconds in each of them."""
    stub = tmp_path_factory.mktemp("without")
    (stub / "rfc3987_syntax.py").write_text("raise ImportError")
    changed = {
        "PYTHONPATH": os.pathsep.join([str(stub), str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]),
        "RAY_raylet_start_wait_time_s": "120",
    }
    saved = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    yield
    for name, value in saved.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def serving(ray: str, home: Path, text: Path, denoiser: Path, replicas: int) -> Iterator[tuple[str, Fleet]]:
    """A server's address and fleet."""
    config = RuntimeConfig(home=home, device="cpu", threads=1, text=str(text), denoiser=str(denoiser))
    group = ReplicaGroup(models=("tiny", denoiser.name, "embedded:minilm"), min=replicas, max=replicas, cpus=1)
    settings = ServeConfig(drain_s=1.0, cluster=ClusterConfig(replicas={"engine": group}, window_s=20.0))
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
    with ExitStack() as stack:
        try:
            found = stack.enter_context(serving("local", tmp_path_factory.mktemp("ingress"), tiny_llama, pixel_model, 2))
        except Busy as why:
            pytest.skip(str(why))
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


@pytest.mark.slow
def test_streams_and_images_survive_a_killed_replica(server: Any, pixel_model: Path) -> None:
    address, fleet = server
    texts = [text_of(address, seed) for seed in range(4)]
    image = image_of(address, pixel_model.name, 1)
    deaths, again = fleet.dispatcher.deaths, []
    with ThreadPoolExecutor(6) as pool:
        streams = [pool.submit(text_of, address, seed) for seed in range(4)]
        drawn = pool.submit(image_of, address, pixel_model.name, 1)
        time.sleep(0.3)
        assert kill_one(fleet, random.Random(0))
        again = [one.result() for one in streams]
        assert again == texts and drawn.result() == image
    wait(lambda: fleet.dispatcher.deaths > deaths and len(fleet.dispatcher.replicas) == 2, 120)
    with pytest.raises(MmgenError, match="takes 64 CPUs, the largest node has"):
        check({"engine": ReplicaGroup(cpus=64)}, ray_cluster.nodes(), {})
    told = httpx.get(f"{address}/metrics", timeout=60).text
    assert 'replica="engine-' in told and "mmgen_cluster_deaths_total" in told
