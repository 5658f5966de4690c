"""Noise levels of models trained as Karras et al. 2022 (EDM) have it: sigma_min to sigma_max, without betas.

Playground 2.5 and CosXL. States are scaled so that the network reads them as they stand: `(image + s noise) / sqrt(s^2 + d^2)`
at noise-to-signal ratio s, d the data's deviation; the image itself at the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmgen.errors import ConfigError
from mmgen.models.diffusion.noise_levels import Array, NoiseLevels, karras
from mmgen.models.diffusion.solver_table import Coefficients, SolverColumn

SCHEDULERS = ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler")
SOLVERS = (
    "euler", "euler-a", "heun", "dpm++2m", "dpm++2m-karras", "dpm++2m-sde", "dpm++2m-sde-karras", "dpm++sde",
    "dpm++sde-karras", "dpm++3m-sde", "dpm++3m-sde-karras",
)  # fmt: skip
"""Those that know noise-to-signal ratios alone."""
PREDICTIONS = ("epsilon", "v_prediction")


@dataclass(frozen=True)
class EDMSchedule:
    """What a scheduler_config.json of diffusers says; `option` as NoiseSchedule has it."""

    config: Mapping[str, Any]
    prediction: str
    lowest: float  # sigma_min
    highest: float
    deviation: float  # sigma_data

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EDMSchedule:
        """Raises ConfigError for a prediction or spacing that is not covered."""
        prediction = config.get("prediction_type") or "epsilon"
        if prediction not in PREDICTIONS:
            raise ConfigError(f"prediction_type {prediction!r} is not one of {', '.join(PREDICTIONS)}")
        spacing = config.get("sigma_schedule") or "karras"
        if spacing not in ("karras", "exponential"):
            raise ConfigError(f"sigma_schedule {spacing!r} is not one of karras, exponential")
        numbers = [float(config.get(name) or usual) for name, usual in
                   (("sigma_min", 0.002), ("sigma_max", 80.0), ("sigma_data", 0.5))]  # fmt: skip
        return cls(dict(config), prediction, *numbers)

    @property
    def train_steps(self) -> int:
        return int(self.option("num_train_timesteps", 1000))

    def option(self, name: str, default: Any) -> Any:
        """A value of the configuration; `default` where it is absent or null."""
        value = self.config.get(name)
        return default if value is None else value

    def levels(self, steps: int) -> NoiseLevels:
        """All of a job's. The scheduler's final_sigmas_type tells where the last step arrives."""
        if self.option("sigma_schedule", "karras") == "karras":
            ratios = karras(self.lowest, self.highest, steps, self.option("rho", 7.0))
        else:
            ratios = np.exp(np.linspace(math.log(self.lowest), math.log(self.highest), steps))[::-1]
        ratios = ratios.astype(np.float32).astype(np.float64)
        end = self.lowest if self.option("final_sigmas_type", "zero") == "sigma_min" else 0.0
        timesteps, alpha = self.at(ratios)
        first = math.sqrt(self.highest**2 + 1) * alpha[0]
        return NoiseLevels(timesteps, np.append(alpha, 1.0), np.append(ratios * alpha, end), float(first))

    def at(self, ratios: Array) -> tuple[Array, Array]:
        """What the network is told at these noise-to-signal ratios, and how much of the image its states hold."""
        return 0.25 * np.log(ratios), 1 / np.sqrt(ratios**2 + self.deviation**2)

    def x0_columns(self, levels: NoiseLevels) -> Coefficients:
        """Karras et al. 2022, eq. 7: `c_skip x + c_out F`, x unscaled."""
        alpha, ratio = levels.alpha[:-1], levels.ratio[:-1]
        skip = self.deviation**2 / (ratio**2 + self.deviation**2)
        out = ratio * self.deviation / np.sqrt(ratio**2 + self.deviation**2)
        return {
            SolverColumn.X0_FROM_X: skip / alpha,
            SolverColumn.X0_FROM_OUTPUT: out if self.prediction == "epsilon" else -out,
        }
