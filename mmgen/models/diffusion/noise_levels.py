"""The noise levels that a solver visits: which timesteps, and how much image and noise at each. Knows no solver."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mmgen.errors import BadRequest, ConfigError
from mmgen.models.diffusion.schedule import NoiseSchedule

Array = npt.NDArray[np.float64]
SPACINGS = ("leading", "trailing", "linspace")


@dataclass(frozen=True)
class SolverSettings:
    """What a job asks of its solver, checked."""

    total: int
    start: int  # steps that img2img leaves out
    eta: float
    original: int  # LCM: steps of the solver that the model was distilled from
    karras: bool


@dataclass(frozen=True)
class NoiseLevels:
    """n noise levels from high to low, and the one that the last step arrives at. float64.

    A state at level i is `alpha[i] * image + sigma[i] * noise`, with `alpha^2 + sigma^2 = 1` above the end. What Karras
    et al. 2022 call sigma is `sigma / alpha` here.
    """

    timesteps: Array  # (n,), what the model is told
    alpha: Array  # (n + 1,)
    sigma: Array  # (n + 1,)
    init_noise_sigma: float = 1.0  # the first state is this times unit noise

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def ratio(self) -> Array:
        """(n + 1,) noise-to-signal, Karras's sigma."""
        return self.sigma / self.alpha

    def from_step(self, start: int) -> NoiseLevels:
        return replace(self, timesteps=self.timesteps[start:], alpha=self.alpha[start:], sigma=self.sigma[start:])


def first_order(levels: NoiseLevels) -> tuple[Array, Array]:
    """Coefficients of x and x0: the exact step for a constant x0. Euler, DDIM and DPM-Solver++(1) are all this."""
    shrink = levels.sigma[1:] / levels.sigma[:-1]
    return shrink, levels.alpha[1:] - levels.alpha[:-1] * shrink


def spaced(schedule: NoiseSchedule, steps: int, default: str, open_end: bool = False, last: int | None = None) -> Array:
    """(steps,) timesteps, falling; Lin et al. 2023, table 2.

    Args:
        default: the spacing where the configuration names none.
        open_end: leave the lowest of steps + 1 points out, as the multistep solvers of diffusers do.
        last: one past the highest timestep; the schedule's length unless given.
    """
    spacing = schedule.option("timestep_spacing", default)
    total, last = schedule.train_steps, last or schedule.train_steps
    if spacing == "linspace":
        return np.linspace(0, last - 1, steps + open_end)[::-1][:steps]
    if spacing == "leading":
        places = np.arange(steps + open_end)[::-1][:steps]
        return (places * (last // (steps + open_end)) + int(schedule.option("steps_offset", 0))).astype(np.float64)
    if spacing == "trailing":
        return np.asarray(np.arange(last, 0, -total / steps).round()[:steps] - 1)
    raise ConfigError(f"timestep_spacing {spacing!r} is not one of {', '.join(SPACINGS)}")


def discrete(schedule: NoiseSchedule, timesteps: Array) -> NoiseLevels:
    """Levels at whole timesteps, down to the clean image."""
    timesteps = checked(schedule, timesteps.round())
    kept = _kept(schedule)[timesteps.astype(np.int64)]
    alpha, sigma = np.append(np.sqrt(kept), 1.0), np.append(np.sqrt(1 - kept), 0.0)
    return NoiseLevels(timesteps, alpha, sigma)


def by_ratio(timesteps: Array, ratios: Array) -> NoiseLevels:
    """Levels of given noise-to-signal ratios, (n + 1,); rounded to float32 as diffusers keeps them."""
    ratios = ratios.astype(np.float32).astype(np.float64)
    alpha = 1 / np.sqrt(ratios**2 + 1)
    return NoiseLevels(timesteps, alpha, ratios * alpha)


def training_ratios(schedule: NoiseSchedule) -> Array:
    """(train_steps,) noise-to-signal ratios, rising. Zero terminal SNR is kept just finite, as diffusers does."""
    kept = _kept(schedule).astype(np.float32)
    if schedule.option("rescale_betas_zero_snr", False):
        kept[-1] = 2.0**-24
    return np.asarray(np.sqrt((1 - kept) / kept), dtype=np.float64)


def interpolated(schedule: NoiseSchedule, timesteps: Array) -> Array:
    """Ratios at timesteps, between whole ones too."""
    return np.interp(checked(schedule, timesteps), np.arange(schedule.train_steps), training_ratios(schedule))


def karras(lowest: float, highest: float, steps: int, rho: float = 7.0) -> Array:
    """(steps,) ratios from high to low; Karras et al. 2022, eq. 5."""
    ramp = np.linspace(0, 1, steps)
    return np.asarray((highest ** (1 / rho) + ramp * (lowest ** (1 / rho) - highest ** (1 / rho))) ** rho)


def timesteps_of(ratios: Array, training: Array) -> Array:
    """The timesteps at which the schedule has these ratios, linear in their logarithm."""
    logs = np.log(training.astype(np.float32))  # in float32, as in diffusers: what is cut to a whole timestep depends on it
    return np.interp(np.log(ratios), logs, np.arange(len(training)))


def checked(schedule: NoiseSchedule, timesteps: Array) -> Array:
    """The same, or BadRequest where they leave the schedule or stand still."""
    if timesteps.max() > schedule.train_steps - 1 or timesteps.min() < 0 or (np.diff(timesteps) >= 0).any():
        spacing = schedule.option("timestep_spacing", "this solver's")
        raise BadRequest(
            f"{len(timesteps)} steps do not fit into {schedule.train_steps} training steps with {spacing} spacing; use fewer"
        )
    return timesteps


def _kept(schedule: NoiseSchedule) -> Array:
    kept: Array = schedule.alphas_cumprod.cpu().numpy().astype(np.float64)
    return kept
