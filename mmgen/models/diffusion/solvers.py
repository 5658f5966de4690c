"""Solvers of the reverse process, each a function from a schedule to a table of coefficients. Knows no model and no batch.

Every update is written over the state x and the x0 predictions, so that x0 can be clipped and all solvers share one update.
Step i goes from level i to level i + 1. Here stand those that remember one step at most; `multistep` has the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from mmgen.errors import BadRequest, ConfigError, nearest
from mmgen.models.diffusion import edm_schedule
from mmgen.models.diffusion.edm_schedule import EDMSchedule
from mmgen.models.diffusion.multistep_solvers import dpm_2m, unipc
from mmgen.models.diffusion.noise_levels import (
    Array,
    NoiseLevels,
    SolverSettings,
    by_ratio,
    discrete,
    first_order,
    interpolated,
    karras,
    spaced,
    timesteps_of,
    training_ratios,
)
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.sde_solvers import dpm_2m_sde, dpm_3m_sde, dpm_sde
from mmgen.models.diffusion.solver_table import Coefficients, SolverColumn, SolverTable

NOISE_ALONE = 1000.0
"""Noise-to-signal ratio above which a state is taken for noise alone; EDM's models begin at some hundred."""

Builder = Callable[[Any, SolverSettings], tuple[NoiseLevels, Coefficients]]


def tabulate(
    schedule: NoiseSchedule | EDMSchedule,
    solver: str,
    steps: int,
    *,
    strength: float = 1.0,
    eta: float = 0.0,
    clip: float | None = None,
    original_steps: int | None = None,
) -> SolverTable:
    """The table of one job.

    Args:
        solver: a name of SOLVERS.
        steps: 1 to the schedule's training steps; for lcm, to `original_steps`.
        strength: in (0, 1]: img2img runs only the last `int(steps * strength)` steps.
        eta: in [0, 1], ddim only: 0 is deterministic, 1 is as random as DDPM.
        clip: bound of every x0 prediction. Unless given: what the schedule's `clip_sample` says to solvers that heed it
            in diffusers (ddpm, ddim, heun, lcm).
        original_steps: lcm only; the schedule's `original_inference_steps`, or 50.

    Raises BadRequest, naming the value and the limit.
    """
    check_name(solver)
    if isinstance(schedule, EDMSchedule) and solver not in edm_schedule.SOLVERS:
        known = ", ".join(edm_schedule.SOLVERS)
        raise BadRequest(f"solver is {solver!r}, but a model with EDM's noise levels is drawn with {known}")
    request = _checked(schedule, solver, steps, strength, eta, clip, original_steps)
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not finite is refused below
        levels, columns = SOLVERS[solver](schedule, request)
        columns = {SolverColumn.CLIP: math.inf, **columns, **_x0_of(schedule, levels)}
    return _table(solver, schedule, levels, columns if clip is None else {**columns, SolverColumn.CLIP: clip})


def check_name(solver: str) -> None:
    """BadRequest for a name that is not in SOLVERS, with the nearest."""
    if solver not in SOLVERS:
        raise BadRequest(f"unknown solver {solver!r}{nearest(solver, list(SOLVERS))}; one of {', '.join(SOLVERS)}")


def _checked(
    schedule: NoiseSchedule | EDMSchedule,
    solver: str,
    steps: int,
    strength: float,
    eta: float,
    clip: float | None,
    original: int | None,
) -> SolverSettings:
    original = int(schedule.option("original_inference_steps", 50)) if original is None else original
    if solver == "lcm" and not 1 <= original <= schedule.train_steps:
        raise BadRequest(f"original_steps is {original}; use 1 to {schedule.train_steps}")
    most = original if solver == "lcm" else schedule.train_steps
    if not 1 <= steps <= most:
        raise BadRequest(f"steps is {steps}; {solver} takes 1 to {most}")
    if not 0 < strength <= 1:
        raise BadRequest(f"strength is {strength}; use more than 0 and at most 1")
    if (run := int(steps * strength)) < 1:
        raise BadRequest(f"strength {strength} of {steps} steps leaves none to run; use at least {1 / steps:.3g}")
    if not 0 <= eta <= 1:
        raise BadRequest(f"eta is {eta}; use 0 to 1")
    if eta and solver != "ddim":
        raise BadRequest(f"eta is {eta}, but only ddim knows eta; leave it out with {solver}")
    if clip is not None and not clip > 0:
        raise BadRequest(f"clip is {clip}; use more than 0")
    return SolverSettings(steps, steps - run, eta, original, bool(schedule.option("use_karras_sigmas", False)))


def _x0_of(schedule: NoiseSchedule | EDMSchedule, levels: NoiseLevels) -> Coefficients:
    return schedule.x0_columns(levels) if isinstance(schedule, EDMSchedule) else _x0_columns(schedule.prediction, levels)


def _x0_columns(prediction: str, levels: NoiseLevels) -> Coefficients:
    """x0 from the state and the model's output: DDPM eq. 15 for epsilon; Salimans and Ho 2022, section 4, for v."""
    alpha, sigma = levels.alpha[:-1], levels.sigma[:-1]
    if prediction == "epsilon":
        return {SolverColumn.X0_FROM_X: 1 / alpha, SolverColumn.X0_FROM_OUTPUT: -sigma / alpha}
    if prediction == "v_prediction":
        return {SolverColumn.X0_FROM_X: alpha, SolverColumn.X0_FROM_OUTPUT: -sigma}
    return {SolverColumn.X0_FROM_X: 0.0, SolverColumn.X0_FROM_OUTPUT: 1.0}


def _table(solver: str, schedule: NoiseSchedule | EDMSchedule, levels: NoiseLevels, columns: Coefficients) -> SolverTable:
    values = np.zeros((len(levels), len(SolverColumn)))
    values[:, SolverColumn.TIMESTEP] = levels.timesteps
    for column, multipliers in columns.items():
        values[:, column] = multipliers
    if not np.isfinite(np.delete(values, SolverColumn.CLIP, axis=1)).all():
        raise BadRequest(
            f"{solver} has no finite step at timestep {levels.timesteps[0]:g} of this schedule with {schedule.prediction}; "
            "use fewer steps, another solver, or a schedule without zero terminal SNR"
        )
    numbers, alpha, sigma = (torch.from_numpy(array).float() for array in (values, levels.alpha, levels.sigma))
    return SolverTable(solver, numbers, alpha, sigma, levels.init_noise_sigma)


def _clip(schedule: NoiseSchedule | EDMSchedule, default: bool) -> float:
    return float(schedule.option("clip_sample_range", 1.0)) if schedule.option("clip_sample", default) else math.inf


def ddpm(schedule: NoiseSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """Ancestral sampling: the posterior mean of x[t-1] and its variance; DDPM (Ho et al. 2020), eq. 7."""
    levels = discrete(schedule, spaced(schedule, steps.total, "leading")).from_step(steps.start)
    kept, before = levels.alpha[:-1] ** 2, levels.alpha[1:] ** 2  # cumulative products at t and t-1
    alpha = (kept / before).astype(np.float32).astype(np.float64)  # rounded as in diffusers: beta is what is left of 1
    beta = 1 - alpha
    variance = np.maximum((1 - before) / (1 - kept) * beta, 1e-20)
    kind = schedule.option("variance_type", "fixed_small")
    if kind not in ("fixed_small", "fixed_small_log", "fixed_large"):
        raise ConfigError(f"variance_type {kind!r} is not covered by ddpm; use another solver")
    noise = np.sqrt(beta if kind == "fixed_large" else variance)
    return levels, {
        SolverColumn.X: np.sqrt(alpha) * (1 - before) / (1 - kept),
        SolverColumn.X0: np.sqrt(before) * beta / (1 - kept),
        SolverColumn.NOISE: np.where(levels.timesteps > 0, noise, 0),
        SolverColumn.CLIP: _clip(schedule, True),
    }


def ddim(schedule: NoiseSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """Song et al. 2021 (DDIM), eq. 12 and 16. Where x0 is clipped the direction stays the model's own, as in diffusers."""
    levels = discrete(schedule, spaced(schedule, steps.total, "leading")).from_step(steps.start)
    cumulative = schedule.alphas_cumprod.cpu().numpy().astype(np.float64)
    previous = levels.timesteps.astype(np.int64) - schedule.train_steps // steps.total
    final = 1.0 if schedule.option("set_alpha_to_one", True) else cumulative[0]
    before = np.where(previous >= 0, cumulative[previous.clip(0)], final)
    alpha, sigma = levels.alpha[:-1], levels.sigma[:-1]
    noise = steps.eta * np.sqrt((1 - before) / sigma**2 * (1 - alpha**2 / before))
    direction = np.sqrt(1 - before - noise**2)
    epsilon = {  # epsilon from the state and the model's output
        "epsilon": (0.0, 1.0),
        "v_prediction": (sigma, alpha),
        "sample": (1 / sigma, -alpha / sigma),
    }[schedule.prediction]
    return levels, {
        SolverColumn.X: direction * epsilon[0],
        SolverColumn.X0: np.sqrt(before),
        SolverColumn.OUTPUT: direction * epsilon[1],
        SolverColumn.NOISE: noise,
        SolverColumn.CLIP: _clip(schedule, True),
    }


def lcm(schedule: NoiseSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """Multistep consistency sampling; Luo et al. 2023 (LCM), algorithm 3, with c_skip and c_out of sigma_data 0.5."""
    every = schedule.train_steps // steps.original
    trained = (np.arange(1, steps.original + 1) * every - 1)[::-1]
    chosen = trained[np.floor(np.linspace(0, len(trained), steps.total, endpoint=False)).astype(np.int64)]
    levels = discrete(schedule, chosen.astype(np.float64)).from_step(steps.start)
    scaled = levels.timesteps * schedule.option("timestep_scaling", 10.0)
    skip, out = 0.25 / (scaled**2 + 0.25), scaled / np.sqrt(scaled**2 + 0.25)
    return levels, {
        SolverColumn.X: levels.alpha[1:] * skip,
        SolverColumn.X0: levels.alpha[1:] * out,
        SolverColumn.NOISE: levels.sigma[1:],
        SolverColumn.CLIP: _clip(schedule, False),
    }


def _euler_levels(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings, final: str) -> NoiseLevels:
    """Levels of the Euler and Heun family: timesteps need not be whole."""
    if isinstance(schedule, EDMSchedule):
        levels = schedule.levels(steps.total)
        levels.sigma[-1] = schedule.lowest if final == "sigma_min" else 0.0
        return levels.from_step(steps.start)
    timesteps = spaced(schedule, steps.total, "linspace").astype(np.float32).astype(np.float64)
    ratios = interpolated(schedule, timesteps)
    if steps.karras:
        ratios = karras(ratios[-1], ratios[0], steps.total)
        timesteps = timesteps_of(ratios, training_ratios(schedule))
    levels = by_ratio(timesteps, np.append(ratios, training_ratios(schedule)[0] if final == "sigma_min" else 0.0))
    levels.alpha[-1], levels.sigma[-1] = 1.0, levels.ratio[-1]  # what is left of the noise comes on top of the image
    highest = 1.0 if schedule.option("timestep_spacing", "linspace") == "leading" else float(levels.sigma[0])
    return replace(levels, init_noise_sigma=highest).from_step(steps.start)


def euler(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """Karras et al. 2022, algorithm 1 without its correction; what DDIM is, too, where x0 is not clipped."""
    levels = _euler_levels(schedule, steps, schedule.option("final_sigmas_type", "zero"))
    x, x0 = first_order(levels)
    return levels, {SolverColumn.X: x, SolverColumn.X0: x0}


def euler_ancestral(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """Euler to a lower level than asked, then noise up to it: the variances of Song et al. 2021 (DDIM), eq. 16, with eta 1."""
    levels = _euler_levels(schedule, steps, "zero")
    here, there, alpha = levels.ratio[:-1], levels.ratio[1:], levels.alpha
    up = np.sqrt(there**2 * (here**2 - there**2) / here**2)
    down = np.sqrt(there**2 - up**2) / here
    return levels, {
        SolverColumn.X: alpha[1:] * down / alpha[:-1],
        SolverColumn.X0: alpha[1:] * (1 - down),
        SolverColumn.NOISE: alpha[1:] * up,
    }


def heun(schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings) -> tuple[NoiseLevels, Coefficients]:
    """Karras et al. 2022, algorithm 1: an Euler step, then its correction by the slope at its end; 2n - 1 evaluations.

    Rows: Euler step 0, correction 0, Euler step 1, ... and the last Euler step, which has none. A step from noise alone (zero
    terminal SNR) stays Euler's: the slope at its end, times a length of thousands, would bring in little but its error.
    """
    levels = _euler_levels(schedule, steps, "zero")
    x, x0 = first_order(levels)
    alpha, here, there = levels.alpha, levels.ratio[:-2], levels.ratio[1:-1]
    old, new = (there - here) / (2 * here), (there - here) / (2 * there)  # half the step in both slopes' units
    alone = here > NOISE_ALONE
    old, new = np.where(alone, 2 * old, old), np.where(alone, 0, new)
    columns: dict[SolverColumn, Array] = {
        SolverColumn.X: _alternate(x, new),
        SolverColumn.X0: _alternate(x0, -new * alpha[1:-1]),
        SolverColumn.SAVED: _alternate(np.zeros_like(x), (1 + old) * alpha[1:-1] / alpha[:-2]),
        SolverColumn.LAST: _alternate(np.zeros_like(x), -old * alpha[1:-1]),
    }
    at = (np.arange(2 * len(levels)) + 1) // 2  # 0, 1, 1, 2, 2, ..., n - 1, n: level of every row, and the end
    rows = NoiseLevels(levels.timesteps[at[:-1]], alpha[at], levels.sigma[at], levels.init_noise_sigma)
    return rows, {**columns, SolverColumn.KEEP_X: 1.0, SolverColumn.CLIP: _clip(schedule, False)}


def _alternate(even: Array, odd: Array) -> Array:
    """(n,) and (n - 1,) -> (2n - 1,), one from each in turn."""
    out = np.empty(len(even) + len(odd))
    out[::2], out[1::2] = even, odd
    return out


def _with_karras(
    builder: Builder, schedule: NoiseSchedule | EDMSchedule, steps: SolverSettings
) -> tuple[NoiseLevels, Coefficients]:
    return builder(schedule, replace(steps, karras=True))


SOLVERS: dict[str, Builder] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "euler-a": euler_ancestral,
    "heun": heun,
    "dpm++2m": dpm_2m,
    "dpm++2m-karras": partial(_with_karras, dpm_2m),
    "dpm++2m-sde": dpm_2m_sde,
    "dpm++2m-sde-karras": partial(_with_karras, dpm_2m_sde),
    "dpm++sde": dpm_sde,
    "dpm++sde-karras": partial(_with_karras, dpm_sde),
    "dpm++3m-sde": dpm_3m_sde,
    "dpm++3m-sde-karras": partial(_with_karras, dpm_3m_sde),
    "unipc": unipc,
    "lcm": lcm,
}
"""Name -> the function that computes its table."""
