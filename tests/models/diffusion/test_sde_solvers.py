"""Stochastic solvers against k-diffusion's loops, written out over Karras's sigma."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solver_table import HISTORY, SolverColumn, fused_update, stack
from mmgen.models.diffusion.solvers import tabulate

CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "sample"}
Answer = Callable[[Tensor, float], Tensor]  # unscaled state and sigma -> x0


def answer(x: Tensor, sigma: float) -> Tensor:
    return torch.tanh(x / math.sqrt(sigma**2 + 1)) * 0.7 + 0.1 * math.sin(math.log(sigma))


def noises() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(7)
    while True:
        yield torch.randn(1, 3, 4, 4, generator=generator)


def ancestral(here: float, there: float) -> tuple[float, float]:
    up = min(there, math.sqrt(there**2 * (here**2 - there**2) / here**2))
    return math.sqrt(there**2 - up**2), up


def dpmpp_sde(x: Tensor, sigmas: list[float]) -> Tensor:
    noise = noises()
    for here, there in pairwise(sigmas):
        denoised = answer(x, here)
        if there == 0:
            return denoised
        middle = math.sqrt(here * there)
        down, up = ancestral(here, middle)
        x2 = down / here * x - math.expm1(-(math.log(here) - math.log(down))) * denoised + next(noise) * up
        second = answer(x2, middle)
        down, up = ancestral(here, there)
        x = down / here * x - math.expm1(-(math.log(here) - math.log(down))) * second + next(noise) * up
    return x


def dpmpp_3m_sde(x: Tensor, sigmas: list[float]) -> Tensor:
    noise, before, steps = noises(), [], []
    for here, there in pairwise(sigmas):
        denoised = answer(x, here)
        if there == 0:
            return denoised
        h = math.log(here) - math.log(there)
        both = 2 * h
        x = math.exp(-both) * x - math.expm1(-both) * denoised
        phi2 = math.expm1(-both) / both + 1
        if len(steps) > 1:
            r0, r1 = steps[-1] / h, steps[-2] / h
            first, other = (denoised - before[-1]) / r0, (before[-1] - before[-2]) / r1
            d1 = first + (first - other) * r0 / (r0 + r1)
            d2 = (first - other) / (r0 + r1)
            x = x + phi2 * d1 - (phi2 / both - 0.5) * d2
        elif steps:
            x = x + phi2 * (denoised - before[-1]) / (steps[-1] / h)
        x = x + next(noise) * there * math.sqrt(-math.expm1(-2 * h))
        before.append(denoised)
        steps.append(h)
    return x


def ours(solver: str, steps: int) -> tuple[Tensor, list[float]]:
    """The image, and the sigmas of the rows and the end."""
    table = tabulate(NoiseSchedule.from_config(CONFIG), solver, steps)
    x = table.first(torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)))
    history, noise = torch.zeros(1, HISTORY, *x.shape[1:]), noises()
    for row in range(len(table)):
        rows = stack([(table, row)])
        drawn = next(noise) if table.draws(row) else torch.zeros_like(x)
        sigma = float(table.sigma[row] / table.alpha[row])
        assert 0 <= rows[0, SolverColumn.TIMESTEP] <= 999
        x, history, _ = fused_update(x, answer(x / table.alpha[row], sigma), history, drawn, rows)
    return x, (table.sigma.double() / table.alpha.double()).tolist()


@pytest.mark.parametrize("karras", ["", "-karras"])
@pytest.mark.parametrize("steps", [1, 2, 3, 9])
@pytest.mark.parametrize(("solver", "loop", "every"), [("dpm++sde", dpmpp_sde, 2), ("dpm++3m-sde", dpmpp_3m_sde, 1)])
def test_equals_k_diffusion(
    solver: str, loop: Callable[[Tensor, list[float]], Tensor], every: int, steps: int, karras: str
) -> None:
    found, sigmas = ours(solver + karras, steps)
    levels = [*sigmas[:-1][::every], sigmas[-1]]
    unit = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = loop(unit * math.sqrt(levels[0] ** 2 + 1), levels)
    assert len(levels) == steps + 1 and torch.allclose(found, expected, atol=2e-5)
