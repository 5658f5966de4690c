"""Flow matching: noise levels where a state is `(1 - s) image + s noise`, and the solvers' tables over them.

The network's output is the velocity `noise - image` (Lipman et al. 2023; Liu et al. 2023, rectified flow). Which levels a
model is asked at is told by its scheduler, diffusers' own class; the loop and the update are those of every other solver here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from mmgen.errors import BadRequest, nearest
from mmgen.models.diffusion.multistep_solvers import second_order
from mmgen.models.diffusion.noise_levels import Array, NoiseLevels, first_order
from mmgen.models.diffusion.solver_table import Coefficients, SolverColumn, SolverTable

MAX_STEPS = 1000


def levels(scheduler: Any, steps: int, sigmas: Array | None = None, mu: float | None = None) -> NoiseLevels:
    """The levels that a scheduler of diffusers goes through, from pure noise to the image.

    Args:
        scheduler: one whose sigmas are those of flow matching; it is not changed.
        sigmas: (steps,) levels before its shift, where the pipeline gives them.
        mu: of a shift that depends on the image's size; Esser et al. 2024, section 5.3.2.
    """
    fresh, more = type(scheduler).from_config(scheduler.config), {}
    if mu is not None and scheduler.config.get("use_dynamic_shifting"):
        more["mu"] = mu
    with warnings.catch_warnings():  # of numpy, about what a scheduler does with torch's arrays
        warnings.simplefilter("ignore", DeprecationWarning)
        fresh.set_timesteps(steps, **more) if sigmas is None else fresh.set_timesteps(sigmas=sigmas, **more)
    sigma = fresh.sigmas.double().numpy()
    return NoiseLevels(fresh.timesteps.double().numpy(), 1 - sigma, sigma)


def shift_by_size(config: Any, tokens: int) -> float:
    """mu: linear in the number of the image's tokens, between two sizes that the scheduler's configuration names."""
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (high - low) / (many - few)
    return float(tokens * slope + low - slope * few)


def tabulate(every: NoiseLevels, solver: str, strength: float = 1.0) -> SolverTable:
    """The table of one job. `strength`: img2img leaves the first steps out, as diffusers' pipelines of flow models do.

    Raises BadRequest for an unknown solver and for a strength that leaves no step.
    """
    if solver not in SOLVERS:
        known = ", ".join(SOLVERS)
        raise BadRequest(f"solver is {solver!r}{nearest(solver, list(SOLVERS))}, but a flow model is drawn with {known}")
    steps = len(every)
    start = int(max(steps - min(steps * strength, steps), 0))
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise BadRequest(f"strength {strength} of {steps} steps leaves none to run; use {1 / steps:.3g} to 1")
    with np.errstate(divide="ignore", invalid="ignore"):  # at the first level nothing is left of the image
        chosen, columns = SOLVERS[solver](every.from_step(start))
    values = np.zeros((len(chosen), len(SolverColumn)))
    columns = {
        SolverColumn.CLIP: math.inf,
        **columns,
        SolverColumn.X0_FROM_X: 1.0,
        SolverColumn.X0_FROM_OUTPUT: -chosen.sigma[:-1],
    }
    values[:, SolverColumn.TIMESTEP] = chosen.timesteps
    for column, multipliers in columns.items():
        values[:, column] = multipliers
    numbers, alpha, sigma = (torch.from_numpy(array).float() for array in (values, chosen.alpha, chosen.sigma))
    return SolverTable(solver, numbers, alpha, sigma, 1.0)


def euler(every: NoiseLevels) -> tuple[NoiseLevels, Coefficients]:
    """`x + (s' - s) v`, written over x and x0."""
    x, x0 = first_order(every)
    return every, {SolverColumn.X: x, SolverColumn.X0: x0}


def heun(every: NoiseLevels) -> tuple[NoiseLevels, Coefficients]:
    """An Euler step, then its correction by the velocity at its end; the last step has none. 2n - 1 evaluations.

    `v = (x - x0) / s`, so that the correction is linear in the state before, its x0, the state now and its x0.
    """
    x, x0 = first_order(every)
    half, here, there = np.diff(every.sigma)[:-1] / 2, every.sigma[:-2], every.sigma[1:-1]
    columns = {
        SolverColumn.X: _alternate(x, half / there),
        SolverColumn.X0: _alternate(x0, -half / there),
        SolverColumn.SAVED: _alternate(np.zeros_like(x), 1 + half / here),
        SolverColumn.LAST: _alternate(np.zeros_like(x), -half / here),
    }
    at = (np.arange(2 * len(every)) + 1) // 2  # levels of the rows, and the end
    rows = NoiseLevels(every.timesteps[at[:-1]], every.alpha[at], every.sigma[at])
    return rows, {**columns, SolverColumn.KEEP_X: 1.0}


def dpm_2m(every: NoiseLevels) -> tuple[NoiseLevels, Coefficients]:
    """DPM-Solver++(2M) with alpha = 1 - s; Lu et al. 2022, algorithm 2. The first and the last step are of first order."""
    second = np.arange(len(every)) > 0
    second[-1] = False
    x, x0, last = second_order(every, second)
    return every, {SolverColumn.X: x, SolverColumn.X0: x0, SolverColumn.LAST: last}


def _alternate(even: Array, odd: Array) -> Array:
    """(n,) and (n - 1,) -> (2n - 1,), one from each in turn."""
    out = np.empty(len(even) + len(odd))
    out[::2], out[1::2] = even, odd
    return out


SOLVERS: dict[str, Callable[[NoiseLevels], tuple[NoiseLevels, Coefficients]]] = {
    "euler": euler,
    "heun": heun,
    "dpm++2m": dpm_2m,
}
"""Name -> the function that computes a flow's table."""
