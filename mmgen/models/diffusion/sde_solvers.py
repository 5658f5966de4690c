"""Solvers of the reverse stochastic equation: DPM-Solver++ with noise in every step, as tables. Knows no model and no batch.

h is the difference of lambda = log(alpha / sigma) over a step, as in Lu et al. 2022; eta is 1. The noise of a row is drawn
from the job's generator in the order of its rows, so that a seed draws the same image in any batch.
"""

from __future__ import annotations

import numpy as np

from mmgen.models.diffusion.edm_schedule import EDMSchedule
from mmgen.models.diffusion.multistep_solvers import multistep_levels
from mmgen.models.diffusion.noise_levels import Array, NoiseLevels, SolverSettings, timesteps_of, training_ratios
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solver_table import Coefficients, SolverColumn


def first_order(levels: NoiseLevels) -> tuple[Array, Array, Array]:
    """Coefficients of x, x0 and the noise: `e^-h` of the noise that there is stays, fresh noise makes up for the rest."""
    shrink = levels.ratio[1:] / levels.ratio[:-1]  # e^-h; 0 where the step ends at the image
    x = levels.sigma[1:] / levels.sigma[:-1] * shrink
    return x, levels.alpha[1:] * (1 - shrink**2), levels.sigma[1:] * np.sqrt(1 - shrink**2)


def dpm_2m_sde(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """SDE-DPM-Solver++(2M), midpoint; Lu et al. 2022, appendix B. The first step is of first order, as is one to the image."""
    levels = multistep_levels(schedule, steps, whole=schedule.option("beta_schedule", "linear") != "squaredcos_cap_v2")
    x, x0, noise = first_order(levels)
    step = -np.diff(np.log(levels.ratio))
    part = np.zeros(len(levels))  # 1 / (2 r) where a step is of second order
    part[1:] = 0.5 * step[1:] / step[:-1]
    final = schedule.option("final_sigmas_type", "zero") == "zero" or schedule.option("euler_at_final", False)
    if final or (schedule.option("lower_order_final", True) and steps.total < 15) or len(levels) == 1:
        part[-1] = 0
    return levels, {
        SolverColumn.X: x,
        SolverColumn.X0: x0 * (1 + part),
        SolverColumn.LAST: -x0 * part,
        SolverColumn.NOISE: noise,
    }


def dpm_3m_sde(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """k-diffusion's sample_dpmpp_3m_sde: third order, from two earlier predictions of x0."""
    levels = multistep_levels(schedule, steps, whole=True)
    x, x0, noise = first_order(levels)
    step = -np.diff(np.log(levels.ratio))
    finite = np.where(np.isfinite(step), step, 1.0)  # the step to the image is of first order
    order = np.where(np.isfinite(step), np.minimum(np.arange(len(levels)) + 1, 3), 1)
    phi2 = np.expm1(-2 * finite) / (2 * finite) + 1
    phi3 = phi2 / (2 * finite) - 0.5
    near, far = np.ones(len(levels)), np.ones(len(levels))  # the steps before in units of this one
    near[1:], far[2:] = finite[:-1] / finite[1:], finite[:-2] / finite[2:]
    second, third = order == 2, order == 3
    last, earlier = np.zeros(len(levels)), np.zeros(len(levels))
    last[second] = (-phi2 / near)[second]
    both = (
        near + far
    )  # d = (x0 - last) / near, e = (last - earlier) / far: phi2 (d + (d - e) near / both) - phi3 (d - e) / both
    of_d, of_e = phi2 * (1 + near / both) - phi3 / both, -phi2 * near / both + phi3 / both
    last[third] = (-of_d / near + of_e / far)[third]
    earlier[third] = (-of_e / far)[third]
    ahead = levels.alpha[1:]
    return levels, {
        SolverColumn.X: x,
        SolverColumn.X0: x0 - ahead * (last + earlier),
        SolverColumn.LAST: ahead * last,
        SolverColumn.EARLIER: ahead * earlier,
        SolverColumn.NOISE: noise,
    }


def dpm_sde(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """k-diffusion's sample_dpmpp_sde: to the middle of the step with noise, and with the prediction there all the way.

    Rows: middle 0, step 0, middle 1, ... and the last step, which goes to the image at once; 2n - 1 evaluations.
    """
    levels = multistep_levels(schedule, steps, whole=True)
    here, there = levels.ratio[:-2], levels.ratio[1:-1]
    middle = np.sqrt(here * there)
    timesteps, alpha = _between(schedule, middle)
    ratios, alphas = _alternate(levels.ratio[:-1], middle), _alternate(levels.alpha[:-1], alpha)
    rows = NoiseLevels(
        _alternate(levels.timesteps, timesteps),
        np.append(alphas, levels.alpha[-1]),
        np.append(ratios * alphas, levels.sigma[-1]),
        levels.init_noise_sigma,
    )
    down, up = _ancestral(here, middle)
    whole_down, whole_up = _ancestral(here, there)
    last = _ancestral(levels.ratio[-2:-1], levels.ratio[-1:])
    ahead, start = rows.alpha[1:], levels.alpha[:-2]
    first = np.append(down / here, last[0] / levels.ratio[-2:-1])  # what stays of x in rows that begin a step
    zeros = np.zeros(len(here))
    kept = _alternate(np.zeros(len(levels)), whole_down / here / start)  # in rows that end one, of the state that it began with
    return rows, {
        SolverColumn.X: ahead * _alternate(first / levels.alpha[:-1], zeros),
        SolverColumn.X0: ahead * (1 - _alternate(first, whole_down / here)),
        SolverColumn.SAVED: ahead * kept,
        SolverColumn.NOISE: ahead * _alternate(np.append(up, last[1]), whole_up),
        SolverColumn.KEEP_X: 1.0,
    }


def _ancestral(here: Array, there: Array) -> tuple[Array, Array]:
    """A lower level than asked, and the noise up from it: Song et al. 2021 (DDIM), eq. 16, with eta 1."""
    up = np.minimum(there, np.sqrt(there**2 * (here**2 - there**2) / here**2))
    return np.sqrt(there**2 - up**2), up


def _between(schedule: NoiseSchedule | EDMSchedule, ratios: Array) -> tuple[Array, Array]:
    """What the model is told at these ratios, and how much of the image is in states there."""
    if isinstance(schedule, EDMSchedule):
        return schedule.at(ratios)
    return timesteps_of(ratios, training_ratios(schedule)), 1 / np.sqrt(1 + ratios**2)


def _alternate(even: Array, odd: Array) -> Array:
    """(n,) and (n - 1,) -> (2n - 1,), one from each in turn."""
    out = np.empty(len(even) + len(odd))
    out[::2], out[1::2] = even, odd
    return out
