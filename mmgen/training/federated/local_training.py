"""A client: it trains the server's weights on its own data for some steps, and answers with what changed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.training import loop, mixed_precision
from mmgen.training.federated import tasks
from mmgen.training.federated.messages import Message, Tensors

if TYPE_CHECKING:
    from mmgen.training.federated.recipe import FederatedRecipe


class NotedValues(dict[str, float]):
    """Takes the place of a `RunLog`."""

    def note(self, step: int, values: Mapping[str, float]) -> None:
        self.update(values)


class ProximalLoss(nn.Module):
    """A task's loss, and `mu / 2 ||w - w0||^2` for the weights w0 that a round began with; FedProx, Li et al. 2020
    (arXiv 1812.06127), eq. 2."""

    def __init__(self, loss: nn.Module, learned: nn.Module, minimised: str, mu: float) -> None:
        super().__init__()
        self.loss, self.minimised, self.mu, self._learned = loss, minimised, mu, [learned]
        self.centre: dict[str, Tensor] = {}

    def forward(self, batch: Any) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.loss(batch)
        if not self.mu:
            return losses
        weights = dict(self._learned[0].named_parameters())
        far = torch.stack([(weights[name] - centre).square().sum() for name, centre in self.centre.items()]).sum()
        return losses | {self.minimised: losses[self.minimised] + self.mu / 2 * far, "task": losses[self.minimised].detach()}


class FederatedClient:
    """Keeps nothing from one round to the next but its data: the optimizer begins anew each round."""

    def __init__(self, name: str, task: Any, recipe: FederatedRecipe) -> None:
        self.name, self.task, self.recipe = name, task, recipe
        self.examples = tasks.examples(task)
        self.steps = recipe.local_steps_of(self.examples, task.recipe.batch)
        self._accelerator = mixed_precision.accelerator("no")
        mu = recipe.strategy.mu if recipe.strategy.kind == "fedprox" else 0.0
        self._loss = ProximalLoss(task.loss, task.model, task.minimised, mu)
        self._module, self._optimizer = self._accelerator.prepare(self._loss, task.optimizer)

    def handle(self, message: Message) -> Message:
        """Raises BadRequest for what it cannot do."""
        if message.kind == "fit":
            return self._fit(message)
        if message.kind == "evaluate":
            return Message("evaluate", message.round, {"examples": self.examples, **self._evaluate(message)})
        raise BadRequest(f"{message.kind} is nothing that a client does; is the server of another version?")

    def fit(self, message: Message) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The update, and what is told of it."""
        began, total = time.monotonic(), 0.0
        weights = self._load(message.tensors)
        self._loss.centre = {name: weight.to(self._accelerator.device) for name, weight in weights.items()}
        self.task.optimizer.state.clear()
        self._module.train()
        for number in range(self.steps):
            step = message.round * self.steps + number
            share = (message.round + number / self.steps) / self.recipe.rounds
            rate = self.task.recipe.schedule.rate(int(loop.PARTS * share), loop.PARTS)
            losses = loop.optimizer_step(
                self.task.recipe, self.task, self._accelerator, self._module, self._optimizer, step, rate, "no"
            )
            self.task.updated(step)
            total += float(losses.get("task", losses[self.task.minimised])) / self.steps
        after = tasks.weights_of(self.task.model)
        told = {"examples": self.examples, "loss": total, "steps": self.steps, "seconds": round(time.monotonic() - began, 3)}
        return {name: after[name] - weight for name, weight in weights.items()}, told

    def _fit(self, message: Message) -> Message:
        update, told = self.fit(message)
        if not math.isfinite(told["loss"]):
            raise BadRequest(f"its loss is {told['loss']}; lower recipe.schedule.peak")
        return Message("fit", message.round, told, update)

    def _evaluate(self, message: Message) -> NotedValues:
        self._load(message.tensors)
        found = NotedValues()
        self._module.eval()
        with torch.inference_mode():
            self.task.validate(message.round, found, {"best": -math.inf})
        return found

    def _load(self, weights: Tensors) -> dict[str, Tensor]:
        """The server's weights become the model's -> these."""
        mine = {name: weight for name, weight in self.task.model.named_parameters() if weight.requires_grad}
        differ = [
            n for n in mine.keys() | weights.keys() if n not in mine or n not in weights or mine[n].shape != weights[n].shape
        ]
        if differ:
            raise BadRequest(f"the server's model is another: {min(differ)}; give the same recipe to both")
        with torch.no_grad():
            for name, weight in weights.items():
                mine[name].copy_(weight)
        return dict(weights)
