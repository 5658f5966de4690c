"""The forward process: how much image and how much noise stand in x[t]. Knows betas and training targets; not solvers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmgen.errors import ConfigError, nearest

PREDICTIONS = ("epsilon", "v_prediction", "sample")
SCHEDULERS = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM", "DDIMInverse", "DDPM", "PNDM", "LMSDiscrete", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete",
        "DPMSolverMultistep", "DPMSolverSinglestep", "DPMSolverSDE", "DEISMultistep", "UniPCMultistep", "KDPM2Discrete",
        "KDPM2AncestralDiscrete", "LCM", "TCD", "SASolver", "DDIMParallel", "DDPMParallel", "DPMSolverMultistepInverse",
    )
)  # fmt: skip
"""Classes of diffusers whose noise is the betas', whatever their solver; EDM's and flow matching's are others."""
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")


@dataclass(frozen=True)
class NoiseSchedule:
    """`q(x[t] | x[0]) = N(sqrt(a[t]) x[0], (1 - a[t]) I)`, a = alphas_cumprod; DDPM (Ho et al. 2020), eq. 4.

    `config` is a diffusers `scheduler_config.json`; keys it does not name take the default of the solver that asks.
    All tensors of a call share the device of `to`; timesteps are integers in [0, train_steps).
    """

    alphas_cumprod: Tensor  # (train_steps,), float32
    prediction: str  # what the model's output means, one of PREDICTIONS
    config: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """Read a diffusers scheduler's configuration; ConfigError where it asks for what is not covered."""
        if (name := config.get("_class_name") or "DDIMScheduler") not in SCHEDULERS:
            raise ConfigError(f"the model's noise levels are those of {name}, which are not covered; take another model")
        prediction = config.get("prediction_type") or "epsilon"
        prediction = "sample" if prediction == "original_sample" else prediction
        if prediction not in PREDICTIONS:
            raise ConfigError(f"prediction_type {prediction!r} is not one of {', '.join(PREDICTIONS)}")
        for key in ("thresholding", "use_flow_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"):
            if config.get(key):
                raise ConfigError(f"{key} in the scheduler's configuration is not covered; set it to false")
        betas = _betas(config)
        if config.get("rescale_betas_zero_snr"):
            betas = zero_terminal_snr(betas)
        return cls(torch.cumprod(1 - betas, dim=0), prediction, dict(config))

    @property
    def train_steps(self) -> int:
        return len(self.alphas_cumprod)

    def option(self, name: str, default: Any) -> Any:
        """A value of the configuration; `default` where it is absent or null."""
        value = self.config.get(name)
        return default if value is None else value

    def to(self, device: str | torch.device) -> NoiseSchedule:
        return replace(self, alphas_cumprod=self.alphas_cumprod.to(device))

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """(B, ...) images or latents, as much noise, (B,) timesteps -> x[t] (B, ...)."""
        signal, deviation = self._at(timesteps, clean)
        return signal * clean + deviation * noise

    def velocity(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """`v = sqrt(a) noise - sqrt(1 - a) x[0]`; Salimans and Ho 2022, section 4."""
        signal, deviation = self._at(timesteps, clean)
        return signal * noise - deviation * clean

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the model's output shall equal."""
        if self.prediction == "epsilon":
            return noise
        return clean if self.prediction == "sample" else self.velocity(clean, noise, timesteps)

    def snr(self, timesteps: Tensor) -> Tensor:
        """Signal-to-noise ratio `a / (1 - a)` -> (B,)."""
        kept = self.alphas_cumprod[timesteps]
        return kept / (1 - kept)

    def loss_weight(self, timesteps: Tensor, gamma: float = math.inf) -> Tensor:
        """Min-SNR-gamma weight of each row's squared error, `min(SNR, gamma)` seen from x[0]; Hang et al. 2023.

        Without gamma every prediction gets the loss of plain epsilon prediction, SNR seen from x[0].
        """
        snr = self.snr(timesteps)
        if self.prediction == "epsilon":
            return (gamma / snr).clamp(max=1)  # min(SNR, gamma) / SNR, and 1 where SNR is 0
        clipped = snr.clamp(max=gamma)
        return clipped if self.prediction == "sample" else clipped / (snr + 1)

    def _at(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.alphas_cumprod[timesteps].to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))
        return kept.sqrt(), (1 - kept).sqrt()


def _betas(config: Mapping[str, Any]) -> Tensor:
    """(train_steps,) float32: the noise added at each step, in (0, 1)."""
    name = config.get("beta_schedule") or "linear"
    start, end = config.get("beta_start") or 0.0001, config.get("beta_end") or 0.02
    steps = config.get("num_train_timesteps") or 1000
    try:
        if config.get("trained_betas") is not None:
            betas = torch.tensor(config["trained_betas"], dtype=torch.float32)
        elif name == "linear":
            betas = torch.linspace(start, end, steps, dtype=torch.float32)
        elif name == "scaled_linear":  # linear in the square root; Rombach et al. 2022
            betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
        elif name == "squaredcos_cap_v2":
            betas = cosine_betas(steps)
        else:
            raise ConfigError(f"beta_schedule {name!r} is not one of {', '.join(BETAS)}{nearest(str(name), list(BETAS))}")
    except (TypeError, ValueError, RuntimeError) as why:
        raise ConfigError(f"the scheduler's configuration gives no betas ({str(why).splitlines()[0]})") from None
    if betas.dim() != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
        raise ConfigError("the scheduler's betas must be numbers between 0 and 1, one for each training step")
    return betas


def cosine_betas(steps: int, most: float = 0.999) -> Tensor:
    """`a(t) = cos((t / T + s) / (1 + s) * pi / 2)^2`, s = 0.008, betas capped; Nichol and Dhariwal 2021, eq. 17."""

    def kept(part: float) -> float:
        return math.cos((part + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - kept((i + 1) / steps) / kept(i / steps), most) for i in range(steps)]
    return torch.tensor(betas, dtype=torch.float32)


def zero_terminal_snr(betas: Tensor) -> Tensor:
    """Shift and scale sqrt(a) so that nothing of the image is left at the last step; Lin et al. 2023, algorithm 1."""
    root = torch.cumprod(1 - betas, dim=0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    kept = ((root - last) * (first / (first - last))) ** 2
    return 1 - torch.cat((kept[:1], kept[1:] / kept[:-1]))
