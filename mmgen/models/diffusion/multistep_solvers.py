"""Solvers that remember earlier x0 predictions: DPM-Solver++(2M) and UniPC, as tables. Knows no model and no batch.

alpha, sigma and lambda = log(alpha / sigma), h = the difference of lambda over a step, as in Lu et al. 2022.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mmgen.errors import ConfigError
from mmgen.models.diffusion.edm_schedule import EDMSchedule
from mmgen.models.diffusion.noise_levels import (
    Array,
    NoiseLevels,
    SolverSettings,
    by_ratio,
    first_order,
    interpolated,
    karras,
    spaced,
    timesteps_of,
    training_ratios,
)
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solver_table import Coefficients, SolverColumn


def multistep_levels(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings, whole: bool) -> NoiseLevels:
    """Levels of the DPM-Solver family. `whole`: round the timesteps of Karras levels before the model is told."""
    if isinstance(schedule, EDMSchedule):
        return schedule.levels(steps.total).from_step(steps.start)
    training = training_ratios(schedule)
    if steps.karras:
        ratios = karras(training[0], training[-1], steps.total)
        timesteps = timesteps_of(ratios, training)
        timesteps = np.trunc(timesteps.round() if whole else timesteps)
    else:
        highest = int((-np.log(training) >= schedule.option("lambda_min_clipped", -math.inf)).sum())
        timesteps = spaced(schedule, steps.total, "linspace", open_end=True, last=highest).round()
        ratios = interpolated(schedule, timesteps)
    final = training[0] if schedule.option("final_sigmas_type", "zero") == "sigma_min" else 0.0
    return by_ratio(timesteps, np.append(ratios, final)).from_step(steps.start)


def second_order(levels: NoiseLevels, second: npt.NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Coefficients of x, x0 and the x0 before; DPM-Solver++(2M), Lu et al. 2022, algorithm 2.

    `second`: (n,) bool, False where a step is of first order.
    """
    x, x0 = first_order(levels)
    step = -np.diff(np.log(levels.ratio))  # h, (n,); the last is infinite where the end is the clean image
    part = np.zeros(len(levels))
    part[1:][second[1:]] = (0.5 * step[1:] / step[:-1])[second[1:]]  # 1 / (2 r)
    return x, x0 * (1 + part), -x0 * part


def dpm_2m(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """DPM-Solver++(2M); Lu et al. 2022, algorithm 2."""
    _covered(schedule, "algorithm_type", ("dpmsolver++", "deis"))
    _covered(schedule, "solver_type", ("midpoint", "bh1", "bh2", "logrho"))
    levels = multistep_levels(schedule, steps, whole=schedule.option("beta_schedule", "linear") != "squaredcos_cap_v2")
    second = np.arange(len(levels)) > 0
    second[-1] &= not (
        schedule.option("final_sigmas_type", "zero") == "zero"
        or schedule.option("euler_at_final", False)
        or (schedule.option("lower_order_final", True) and steps.total < 15)
    )
    x, x0, last = second_order(levels, second)
    return levels, {SolverColumn.X: x, SolverColumn.X0: x0, SolverColumn.LAST: last}


def unipc(schedule: NoiseSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """UniPC-2 on x0 predictions with B2(h) = e^h - 1; Zhao et al. 2023, sections 3.1 and 3.2.

    Once the model has been asked at a predicted state, UniC corrects that state and UniP goes on from the corrected one. The
    two are one linear map here: the saved state is the corrected one.
    """
    _covered(schedule, "solver_type", ("bh2", "midpoint", "heun", "logrho"))
    levels = multistep_levels(schedule, steps, whole=True)
    order = np.minimum(np.minimum(np.arange(len(levels)) + 1, 2), np.arange(len(levels), 0, -1))
    x, x0, last = second_order(levels, order == 2)
    keep = _corrector(levels, order)
    first = (np.arange(len(levels)) == 0).astype(np.float64)
    return levels, {
        **keep,
        SolverColumn.KEEP_X: first,
        SolverColumn.X: x * first,
        SolverColumn.X0: x * keep[SolverColumn.KEEP_X0] + x0,
        SolverColumn.SAVED: x * keep[SolverColumn.KEEP_SAVED],
        SolverColumn.LAST: x * keep[SolverColumn.KEEP_LAST] + last,
        SolverColumn.EARLIER: x * keep[SolverColumn.KEEP_EARLIER],
    }


def _corrector(levels: NoiseLevels, order: Array) -> dict[SolverColumn, Array]:
    """UniC: the state at row i again, now that x0 there is known; zero at row 0. Zhao et al. 2023, section 3.1."""
    out = {
        c: np.zeros(len(levels))
        for c in (SolverColumn.KEEP_SAVED, SolverColumn.KEEP_X0, SolverColumn.KEEP_LAST, SolverColumn.KEEP_EARLIER)
    }
    shrink, ahead = (numbers[:-1] for numbers in first_order(levels))  # steps that arrive at rows 1, 2, ...
    step = -np.diff(np.log(levels.ratio[:-1]))  # h
    b1 = (np.expm1(-step) / -step - 1) / np.expm1(-step)
    b2 = 2 * ((np.expm1(-step) / -step - 1) / -step - 0.5) / np.expm1(-step)
    back = np.append(1.0, -step[:-1] / step[1:])  # r of the x0 before the last, in units of h; the first is not used
    weight = np.where(order[:-1] == 2, (b1 - b2) / (1 - back), 0)
    newest = np.where(order[:-1] == 2, b1 - weight, 0.5)
    out[SolverColumn.KEEP_SAVED][1:] = shrink
    out[SolverColumn.KEEP_X0][1:] = ahead * newest
    out[SolverColumn.KEEP_LAST][1:] = ahead * (1 - newest - weight / back)
    out[SolverColumn.KEEP_EARLIER][1:] = ahead * weight / back
    return out


def _covered(schedule: NoiseSchedule | EDMSchedule, key: str, values: tuple[str, ...]) -> None:
    """ConfigError where the configuration asks for a variant that is not covered.

    `values`: the one that is, and names of other families that diffusers reads as this one.
    """
    if (found := schedule.option(key, values[0])) not in values:
        raise ConfigError(f"{key} {found!r} in the scheduler's configuration is not covered; set it to {values[0]!r}")
    if (order := schedule.option("solver_order", 2)) != 2:
        raise ConfigError(f"solver_order {order} in the scheduler's configuration is not covered; set it to 2")
