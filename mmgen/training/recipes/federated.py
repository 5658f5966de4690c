"""Federated learning: the training data stays with clients; what travels is weights and updates.

A client's work is another recipe's task (see federated/tasks.py), of all weights or of a LoRA adapter alone. `train` simulates
the clients: every file or folder of `data` is one. `serve` and `take_part` are the two sides over a network.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadRequest, NotFound
from mmgen.training.federated import tasks
from mmgen.training.federated import tokens as token_files
from mmgen.training.federated.connection import LOOPBACK, ServerConnection
from mmgen.training.federated.fleets import ClientFleet, RayFleet, SimulatedFleet
from mmgen.training.federated.local_training import FederatedClient, NotedValues
from mmgen.training.federated.network_fleet import NetworkFleet
from mmgen.training.federated.recipe import FederatedRecipe
from mmgen.training.federated.rounds import FederatedServer
from mmgen.training.run_log import RunLog

FREE = {"out", "data", "sample", "simulate"}
"""Options that may change where a run is resumed."""
ROUND_SECONDS = 600.0
"""Until an answer of another process is late, where the recipe says nothing."""


def client_of(recipe: FederatedRecipe, name: str) -> FederatedClient:
    """A simulated one."""
    assert recipe.data is not None
    return FederatedClient(name, recipe.task_of(recipe.data / name, recipe.out / "clients" / name), recipe)


def train(recipe: FederatedRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Simulates the rounds that are left; True when all are done. Writes `out/metrics.jsonl`, `loss.png`, a checkpoint a round
    and `out/model`."""
    names = client_names(recipe)
    begin(recipe, names)
    assert recipe.data is not None
    task = recipe.task_of(recipe.sample or recipe.data / names[0], recipe.out)
    fleet: ClientFleet
    if recipe.simulate.actors:
        fleet = RayFleet(recipe, names, partial(client_of, recipe))
    else:
        fleet = SimulatedFleet(recipe, {name: client_of(recipe, name) for name in names})
    try:
        server = FederatedServer(recipe, fleet, tasks.weights_of(task.model))
        done = server.run(stop_after_minutes)
    finally:
        fleet.close()
    if done:
        finish(recipe, task, server)
    return done


def finish(recipe: FederatedRecipe, task: Any, server: FederatedServer) -> None:
    """Exports the model, and plots."""
    weights = dict(task.model.named_parameters())
    with torch.inference_mode():
        for name, weight in server.weights.items():
            weights[name].copy_(weight)
        task.loss.eval()
        task.validate(recipe.rounds, NotedValues(), {"best": math.inf})
    if not (recipe.out / "model").exists():
        raise BadRequest(f"the held-out part of {recipe.sample} is too small to measure the model on; give a larger sample")
    RunLog(recipe.out, recipe.rounds).plot(("loss", "validation"), task.ylabel)


def client_names(recipe: FederatedRecipe) -> list[str]:
    if recipe.data is None or not recipe.data.is_dir():
        raise BadRequest(f"data is {recipe.data}; give a folder with a file or folder for each client")
    there = sorted(one.name for one in recipe.data.iterdir() if not one.name.startswith("."))
    names = sorted(set(recipe.clients)) or there
    if missing := [name for name in names if name not in there]:
        raise BadRequest(f"{recipe.data} holds no {missing[0]}; its clients are {', '.join(there)}")
    if len(names) < recipe.least:
        raise BadRequest(f"{recipe.data} has {len(names)} clients, a round needs at least {recipe.least}; give more")
    return names


def begin(recipe: FederatedRecipe, names: list[str]) -> None:
    """Makes the run's folder. Raises BadRequest where it holds another run."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    said = {**recipe.model_dump(mode="json", exclude=FREE), "clients": names}
    about = recipe.out / "run.json"
    if about.is_file():
        before = json.loads(about.read_text())
        for key, value in said.items():
            if before.get(key) != value:
                differ = f"another {key}, {before.get(key)} and not {value}"
                raise BadRequest(f"{recipe.out} holds a run with {differ}; give another folder with --out")
    fresh = about.with_suffix(".new")
    fresh.write_text(json.dumps(said))
    fresh.replace(about)


@contextmanager
def opened(
    recipe: FederatedRecipe, host: str, port: int, tokens: Path, cert: Path | None, key: Path | None
) -> Iterator[tuple[str, NetworkFleet]]:
    """The server's address and its clients, who come over the network. Raises BadRequest without TLS but on the loopback."""
    if cert is None and host not in LOOPBACK:
        raise BadRequest(f"{host} without TLS would send weights and tokens in the clear; give --cert and --key")
    if (cert is None) != (key is None):
        raise BadRequest("a certificate and its key go together; give both --cert and --key")
    for path in (cert, key):
        if path is not None and not path.is_file():
            raise NotFound(f"{path} is no file; give --cert and --key PEM files")
    names = token_files.read_or_make(tokens, recipe.clients)
    if len(names) < recipe.least:
        raise BadRequest(f"{tokens} has {len(names)} clients, a round needs at least {recipe.least}; give more")
    begin(recipe, sorted(names))
    tls = {} if cert is None else {"ssl_certfile": str(cert), "ssl_keyfile": str(key)}
    if cert is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as why:
            raise BadRequest(f"{cert} and {key} are no pair for TLS ({why}); give PEM files that belong together") from None
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as why:
        raise BadRequest(f"{host} port {port} cannot be had ({why.strerror}); choose another --port or --host") from None
    seconds = recipe.round_seconds or ROUND_SECONDS
    fleet = NetworkFleet(names, recipe.digest(), listener, seconds, **tls)
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"{'http' if cert is None else 'https'}://{shown}:{listener.getsockname()[1]}", fleet
    finally:
        fleet.close()


def serve(recipe: FederatedRecipe, fleet: NetworkFleet, *, stop_after_minutes: float | None = None) -> bool:
    """The rounds that are left, with clients of other processes; True when all are done."""
    assert recipe.sample is not None
    task = recipe.task_of(recipe.sample, recipe.out)
    server = FederatedServer(recipe, fleet, tasks.weights_of(task.model))
    fleet.max_bytes = 3 * sum(weight.numel() * weight.element_size() for weight in server.weights.values()) + 2**24
    if server.number < recipe.rounds:
        fleet.wait_for(recipe.least)
    fleet.finished = server.run(stop_after_minutes)
    if fleet.finished:
        finish(recipe, task, server)
    return fleet.finished


def take_part(recipe: FederatedRecipe, data: Path, server: str, token: Path, ca: Path | None) -> int:
    """A client's part of a run, to its end -> answers that were taken."""
    (name, secret), *_ = token_files.read(token).items()
    connection = ServerConnection(server, secret, recipe.digest(), ca)
    return connection.serve(FederatedClient(name, recipe.task_of(data, recipe.out / "clients" / name), recipe).handle)
