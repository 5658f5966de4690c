"""Three nodes of Ray on this machine, a page, and a replica that is killed in the middle of an answer: `make cluster-demo`.

    python examples/cluster_demo.py [--once] [--port 8000]

Prints the answer as it comes, kills the process that computes it, and compares with the undisturbed one. Then the page stays,
until Ctrl-C; with --once it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from mmgen import hub
from mmgen.cluster.local_nodes import local_nodes
from mmgen.config import RuntimeConfig
from mmgen.errors import MmgenError
from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.cluster import ray_cluster
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.cluster.settings import ClusterConfig, ReplicaGroup
from mmgen.serve.http_server import listen, server
from mmgen.serve.settings import ServeConfig

NODES = 3
PROMPT = "The lighthouse keeper climbed the stairs, and"


def model() -> str:
    """The language model: SmolLM2 where it was pulled, or else the small one that comes with mmgen."""
    try:
        hub.resolve("embedded:smollm2")
    except MmgenError:
        return "embedded:books"
    return "embedded:smollm2"


def answer(address: str, name: str, tokens: int) -> Iterator[str]:
    """The pieces of a streamed completion."""
    body = {"model": name, "prompt": PROMPT, "max_tokens": tokens, "seed": 7, "stream": True}
    asked = urllib.request.Request(f"{address}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=600) as stream:
        for line in stream:
            if line.startswith(b"data: {"):
                told = json.loads(line[6:])
                if "error" in told:
                    raise SystemExit(f"the stream failed: {told['error']['message']}")
                yield "".join(choice["text"] for choice in told["choices"])


def busy(fleet: Fleet) -> Any:
    """The replica that works at something."""
    states = fleet.dispatcher.router.replicas
    return next((one for name, one in fleet.dispatcher.replicas.items() if states[name].sent), None)


def show(address: str, fleet: Fleet, name: str, tokens: int) -> None:
    """An answer, the same again with its replica killed, and what happened."""
    print("\n1. An answer, undisturbed:")
    whole = ""
    for piece in answer(address, name, tokens):
        whole += piece
        print(piece, end="", flush=True)
    print("\n\n2. The same, and the process that computes it is killed after the first quarter:")
    again, killed, longest, last = "", "", 0.0, time.perf_counter()
    for piece in answer(address, name, tokens):
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        again += piece
        print(piece, end="", flush=True)
        if not killed and len(again) > len(whole) / 4 and (replica := busy(fleet)) is not None:
            killed = f"{replica.name} at {replica.where}"
            os.kill(int(replica.where.rpartition(" ")[2].rstrip(")")), signal.SIGKILL)
            print(f"[{replica.name} killed]", end="", flush=True)
    dispatcher = fleet.dispatcher
    print(f"\n\n   killed: {killed or 'nothing, it was done before'}")
    print(f"   replicas that died: {dispatcher.deaths}; answers played again elsewhere: {dispatcher.replayed}")
    print(f"   longest pause between two pieces: {longest:.2f} s")
    print(f"   equal to the undisturbed answer, character by character: {again == whole}")
    if again != whole:
        sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tokens", type=int, default=120)
    parser.add_argument("--once", action="store_true", help="end when it has been shown")
    given = parser.parse_args()
    name = model()
    group = ReplicaGroup(models=(name,), min=NODES, max=NODES, cpus=1)
    settings = ServeConfig(port=given.port, drain_s=1.0, history=False, cluster=ClusterConfig(replicas={"engine": group}))
    print(f"{NODES} nodes start on this machine, each with a replica of {name} ...", flush=True)
    with (
        local_nodes(NODES) as ray,
        Runtime(RuntimeConfig(text=name, threads=1)) as rt,
        ray_cluster.fleet(ray, rt, settings) as fleet,
    ):
        app = create_app(rt, settings, fleet)
        from mmgen.cli.serve import add_page

        add_page(app, rt, None)
        runs = server(app, None)
        thread = threading.Thread(target=runs.run, args=([listen("127.0.0.1", given.port)],), daemon=True)
        thread.start()
        try:
            while len(fleet.dispatcher.replicas) < NODES:
                time.sleep(0.1)
            for replica in fleet.dispatcher.replicas.values():
                print(f"   {replica.name}: {replica.where}")
            show(f"http://127.0.0.1:{given.port}", fleet, name, given.tokens)
            if not given.once:
                print(f"\nThe page: http://127.0.0.1:{given.port}/ui - Ctrl-C ends it")
                thread.join()
        except KeyboardInterrupt:
            pass
        finally:
            runs.should_exit = True
            thread.join(30)


if __name__ == "__main__":
    main()
