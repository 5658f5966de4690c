"""The clients as a server sees them: asked all together, some answer."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from mmgen.errors import MmgenError
from mmgen.training.federated.messages import Message, decode

if TYPE_CHECKING:
    from mmgen.training.federated.local_training import FederatedClient
    from mmgen.training.federated.recipe import FederatedRecipe

log = logging.getLogger(__name__)
Answers = dict[str, "Message | str"]
"""By client; a str says why there is none."""


class ClientFleet(Protocol):
    @property
    def names(self) -> Sequence[str]:
        """Of all clients, sorted."""
        ...

    def ask(self, questions: Mapping[str, Message]) -> Answers:
        """A question for each client by name -> an answer for each, or why there is none. Waits until a deadline at most."""
        ...

    def close(self) -> None: ...


def answered(client: FederatedClient, question: Message) -> Message:
    try:
        return client.handle(question)
    except MmgenError as why:
        return Message("failed", question.round, {"why": str(why)})


class SimulatedFleet:
    """Clients in this process, one after the other; some drop out or are late, by the seed."""

    def __init__(self, recipe: FederatedRecipe, clients: Mapping[str, FederatedClient]) -> None:
        self.recipe, self.clients, self.names = recipe, clients, sorted(clients)

    def ask(self, questions: Mapping[str, Message]) -> Answers:
        found: Answers = {}
        for name, question in sorted(questions.items()):
            missing = simulated_absence(self.recipe, name, question)
            found[name] = missing or answered(self.clients[name], question)
        return found

    def close(self) -> None:
        pass


class RayFleet:
    """Clients spread over actors of Ray, each of which does its own one after the other.

    Same bits as `SimulatedFleet` of as many threads.
    """

    def __init__(self, recipe: FederatedRecipe, names: Sequence[str], build: Callable[[str], FederatedClient]) -> None:
        import ray

        from mmgen.cluster import ray_connection

        self.recipe, self.names = recipe, sorted(names)
        count = min(recipe.simulate.actors, len(names))
        self._began = not ray.is_initialized()
        if self._began:
            ray_connection.connect("local", count)
        self._ray = ray
        actor = ray.remote(num_cpus=1)(ClientGroup)
        shares = [self.names[number::count] for number in range(count)]
        threads = max(1, torch.get_num_threads() // count)
        self._actors = [(share, actor.remote(share, build, threads)) for share in shares]
        ray.get([one.ready.remote() for _, one in self._actors])

    def ask(self, questions: Mapping[str, Message]) -> Answers:
        found: Answers = {}
        pending: list[Any] = []
        for names, actor in self._actors:
            asked = {name: questions[name] for name in names if name in questions}
            for name, question in asked.items():
                if missing := simulated_absence(self.recipe, name, question):
                    found[name] = missing
            going = {name: question.encode() for name, question in asked.items() if name not in found}
            pending.append(actor.ask.remote(going))
        for part in self._ray.get(pending):
            found |= {name: decode(data) for name, data in part.items()}
        return found

    def close(self) -> None:
        for _, actor in self._actors:
            self._ray.kill(actor)
        if self._began:
            self._ray.shutdown()


class ClientGroup:
    """Some of the clients, in a process of Ray's."""

    def __init__(self, names: Sequence[str], build: Callable[[str], FederatedClient], threads: int) -> None:
        torch.set_num_threads(threads)
        self.clients = {name: build(name) for name in names}

    def ready(self) -> bool:
        return True

    def ask(self, questions: Mapping[str, bytes]) -> dict[str, bytes]:
        return {name: answered(self.clients[name], decode(data)).encode() for name, data in questions.items()}


def simulated_absence(recipe: FederatedRecipe, name: str, question: Message) -> str:
    """Why this client has no answer in this round; "": it has one."""
    if question.kind != "fit":
        return ""
    chance = random.Random(f"{recipe.seed}:{question.round}:{name}").random()
    if chance < recipe.simulate.dropout:
        return "dropped out"
    return "late; it is asked again" if chance < recipe.simulate.dropout + recipe.simulate.late else ""
