"""Averages and steps by hand."""

import pytest
import torch
from torch import Tensor

from mmgen.training.federated.strategies import ServerOptimizer, StrategyConfig, weighted_mean

UPDATES = {
    "a": {"w": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])},
    "b": {"w": torch.tensor([-3.0, 0.0]), "b": torch.tensor([[1.0]])},
    "c": {"w": torch.tensor([0.0, 10.0]), "b": torch.tensor([[0.0]])},
}


def test_the_mean_is_weighed_by_examples() -> None:
    mean = weighted_mean(UPDATES, {"a": 1, "b": 3, "c": 6})
    assert torch.allclose(mean["w"], torch.tensor([(1 - 9) / 10, (2 + 60) / 10]))
    assert torch.allclose(mean["b"], torch.tensor([[(3 + 3) / 10]])) and mean["b"].dtype == torch.float32


def test_the_mean_does_not_depend_on_who_comes_first() -> None:
    generator = torch.Generator().manual_seed(0)
    updates = {name: {"w": torch.randn(100, generator=generator)} for name in "abcdefgh"}
    counts = {name: float(3 + index) for index, name in enumerate(updates)}
    again = weighted_mean(dict(reversed(updates.items())), counts)
    assert torch.equal(weighted_mean(updates, counts)["w"], again["w"])


@pytest.mark.parametrize("kind", ["fedavg", "fedprox"])
def test_fedavg_adds_the_mean(kind: str) -> None:
    """What clients' weights average to, as each is the server's and its update."""
    weights = {"w": torch.tensor([5.0, 5.0])}
    new = ServerOptimizer(StrategyConfig(kind=kind)).step(weights, {"w": torch.tensor([1.0, -2.0])}, 1)  # type: ignore[arg-type]
    assert new["w"].tolist() == [6.0, 3.0]


def fedadam(config: StrategyConfig, deltas: list[float], weight: float) -> float:
    """On numbers. With Flower's exponent of the bias correction, one more than the round's number."""
    first = second = 0.0
    for number, delta in enumerate(deltas, 1):
        first = config.beta_1 * first + (1 - config.beta_1) * delta
        second = config.beta_2 * second + (1 - config.beta_2) * delta**2
        rate = config.eta * (1 - config.beta_2 ** (number + 1)) ** 0.5 / (1 - config.beta_1 ** (number + 1))
        weight += rate * first / (second**0.5 + config.tau)
    return weight


def test_fedadam_by_hand_and_from_where_it_stopped() -> None:
    config = StrategyConfig(kind="fedadam", eta=0.1, beta_1=0.8, beta_2=0.95, tau=1e-2)
    deltas = [0.5, -0.2, 0.3]
    optimizer, weights = ServerOptimizer(config), {"w": torch.tensor([1.0])}
    for number, delta in enumerate(deltas, 1):
        other = ServerOptimizer(config)
        other.load({name: tensor.clone() for name, tensor in optimizer.state().items()})
        optimizer, weights = other, other.step(weights, {"w": torch.tensor([delta])}, number)
    assert float(weights["w"]) == pytest.approx(fedadam(config, deltas, 1.0), rel=1e-6)


@pytest.mark.parametrize("kind", ["fedavg", "fedadam"])
def test_as_flower(kind: str) -> None:
    """Where it is installed: `pip install --no-deps flwr`, as it pins other versions of typer and rich than mmgen needs."""
    pytest.importorskip("flwr.server.strategy", reason="Flower is not installed", exc_type=ImportError)
    from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server.strategy import FedAdam, FedAvg

    generator, counts = torch.Generator().manual_seed(0), {"a": 3, "b": 11, "c": 6}
    weights: dict[str, Tensor] = {"w": torch.randn(4, 5, generator=generator), "b": torch.randn(5, generator=generator)}
    config = StrategyConfig(kind=kind, eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3)  # type: ignore[arg-type]
    ours, begun = ServerOptimizer(config), ndarrays_to_parameters([one.numpy() for one in weights.values()])
    theirs = FedAvg() if kind == "fedavg" else FedAdam(initial_parameters=begun, eta=0.1, beta_1=0.9, beta_2=0.99, tau=1e-3)
    for number in (1, 2, 3):
        updates = {
            name: {key: 0.1 * torch.randn(one.shape, generator=generator) for key, one in weights.items()} for name in counts
        }
        answers = [
            (None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters([(weights[key] + one[key]).numpy() for key in weights]),
                          counts[name], {}))
            for name, one in updates.items()
        ]  # fmt: skip
        found, _ = theirs.aggregate_fit(number, answers, [])
        weights = ours.step(weights, weighted_mean(updates, counts), number)
        for mine, other in zip(weights.values(), parameters_to_ndarrays(found), strict=True):
            assert torch.allclose(mine, torch.from_numpy(other).float(), atol=1e-5)
