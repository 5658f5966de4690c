"""How a server makes new weights of its clients' updates: FedAvg, FedProx, FedAdam. Equal to Flower's strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.training.federated.messages import Tensors


class StrategyConfig(Config):
    """The `strategy` section of a federated recipe."""

    kind: Literal["fedavg", "fedprox", "fedadam"] = "fedavg"
    weigh: Literal["examples", "equally"] = "examples"  # by what a client counts
    mu: float = Field(default=0.01, ge=0)  # fedprox: weight of the penalty, which clients add to their loss
    eta: float = Field(default=1e-2, gt=0)  # fedadam: the server's learning rate
    beta_1: float = Field(default=0.9, ge=0, lt=1)
    beta_2: float = Field(default=0.99, ge=0, lt=1)
    tau: float = Field(default=1e-3, gt=0)  # fedadam: added to the root of the second moment


def weighted_mean(updates: Mapping[str, Tensors], counts: Mapping[str, float]) -> dict[str, Tensor]:
    """Of clients' updates by name, each counted so often; summed in the order of names, in double precision.

    With counts of examples: McMahan et al. 2017 (arXiv 1602.05629), algorithm 1.
    """
    total = sum(counts[name] for name in updates)
    mean: dict[str, Tensor] = {}
    for client in sorted(updates):
        for name, tensor in updates[client].items():
            part = tensor.double() * (counts[client] / total)
            mean[name] = mean[name] + part if name in mean else part
    return {name: tensor.float() for name, tensor in mean.items()}


class ServerOptimizer:
    """Applies a round's mean update."""

    def __init__(self, config: StrategyConfig) -> None:
        self.config = config
        self.first: dict[str, Tensor] = {}  # moments of updates; empty before the first round
        self.second: dict[str, Tensor] = {}

    def step(self, weights: Tensors, mean: Tensors, number: int) -> dict[str, Tensor]:
        """New weights. `number`: of the round, from 1.

        FedAdam is algorithm 2 of Reddi et al. 2021 (arXiv 2003.00295), with the bias correction of Flower's FedAdam, whose
        exponent is one more than the number of the round.
        """
        if self.config.kind != "fedadam":
            return {name: weight + mean[name] for name, weight in weights.items()}
        one, two, tau = self.config.beta_1, self.config.beta_2, self.config.tau
        rate = self.config.eta * (1 - two ** (number + 1)) ** 0.5 / (1 - one ** (number + 1))
        new = {}
        for name, weight in weights.items():
            delta = mean[name]
            self.first[name] = one * self.first.get(name, torch.zeros_like(delta)) + (1 - one) * delta
            self.second[name] = two * self.second.get(name, torch.zeros_like(delta)) + (1 - two) * delta**2
            new[name] = weight + rate * self.first[name] / (self.second[name].sqrt() + tau)
        return new

    def state(self) -> dict[str, Tensor]:
        return {
            f"{moment}.{name}": tensor
            for moment, tensors in (("first", self.first), ("second", self.second))
            for name, tensor in tensors.items()
        }

    def load(self, state: Tensors) -> None:
        for key, tensor in state.items():
            moment, name = key.split(".", 1)
            (self.first if moment == "first" else self.second)[name] = tensor
