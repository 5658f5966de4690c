"""Federated learning: the training data stays with clients; what travels is weights and updates.

A client's work is another recipe's task (see federated/tasks.py), of all weights or of a LoRA adapter alone. Here the clients
are simulated: every file or folder of `data` is one.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import torch

from mmgen.errors import BadRequest
from mmgen.training.federated import tasks
from mmgen.training.federated.fleets import ClientFleet, RayFleet, SimulatedFleet
from mmgen.training.federated.local_training import FederatedClient, NotedValues
from mmgen.training.federated.recipe import FederatedRecipe
from mmgen.training.federated.rounds import FederatedServer
from mmgen.training.run_log import RunLog

FREE = {"out", "data", "sample", "simulate"}
"""Options that may change where a run is resumed."""


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
