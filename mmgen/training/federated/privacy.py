"""Differential privacy of whole clients: updates are clipped, and noise covers what any one of them can change.

The server is trusted with each update; who sees the model learns little of whether a client took part.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.training.federated.messages import Tensors, norm


class PrivacyConfig(Config):
    """The `privacy` section of a federated recipe."""

    noise: float = Field(..., gt=0)  # noise multiplier: the standard deviation on the sum, as a multiple of the clip norm
    delta: float = Field(default=1e-5, gt=0, lt=1)  # at which epsilon is told
    clip: float = Field(default=0.1, gt=0)  # L2 norm to which an update is shortened, in the first round
    quantile: float | None = Field(default=0.5, ge=0, le=1)  # of the updates' norms that the clip norm follows; None: it stays
    clip_rate: float = Field(default=0.2, gt=0)
    count_noise: float | None = Field(default=None, gt=0)  # of how many are within the clip norm; None: a 20th of the clients


class PrivateMean:
    """The mean of clipped updates with Gaussian noise, McMahan et al. 2018 (arXiv 1710.06963); the clip norm follows a
    quantile of their norms, Andrew et al. 2021 (arXiv 1905.03871).

    It is divided by the number of clients that was to be expected, so that one client changes the sum by the clip norm at most,
    whoever else answers. Noise and the choice of clients come from a secret of the run, which is kept with its checkpoint.
    """

    def __init__(self, config: PrivacyConfig, expected: float) -> None:
        """`expected`: clients a round. Raises BadRequest where noise of the count cannot be had."""
        self.config, self.expected = config, expected
        self.clip, self.secret = config.clip, secrets.token_hex(16)
        self.count_noise = config.count_noise or expected / 20
        self.noise = config.noise  # on the sum of updates
        if config.quantile is None:
            return
        if config.noise >= 2 * self.count_noise:
            raise BadRequest(
                f"privacy.noise {config.noise:g} is not below 2 x count_noise {self.count_noise:g}, which is a part of it; "
                f"set privacy.count_noise above {config.noise / 2:g}, or privacy.quantile to null"
            )
        self.noise = (config.noise**-2 - (2 * self.count_noise) ** -2) ** -0.5  # Andrew et al., theorem 1

    def mean(self, updates: Mapping[str, Tensors], like: Tensors, number: int) -> dict[str, Tensor]:
        """Of a round's updates, with noise even where there is none. Then the clip norm is adapted."""
        generator = torch.Generator().manual_seed(self._seed(number))
        total = {name: torch.zeros(tensor.shape, dtype=torch.float64) for name, tensor in like.items()}
        within = 0.0  # of each client 1/2 if its update is within the clip norm, else -1/2
        for client in sorted(updates):
            length = norm(updates[client])
            within += 0.5 if length <= self.clip else -0.5
            scale = min(1.0, self.clip / length) if length else 1.0
            for name, tensor in updates[client].items():
                total[name] += tensor.double() * scale
        noisy = {
            name: (part + self.noise * self.clip * torch.randn(part.shape, generator=generator, dtype=torch.float64))
            for name, part in sorted(total.items())
        }
        if self.config.quantile is not None:
            counted = within + self.count_noise * float(torch.randn((), generator=generator, dtype=torch.float64))
            share = counted / self.expected + 0.5
            self.clip *= math.exp(-self.config.clip_rate * (share - self.config.quantile))
        return {name: (noisy[name] / self.expected).float() for name in like}

    def asked(self, name: str, number: int, share: float) -> bool:
        """Whether a client is asked in a round: each by its own chance (Poisson sampling), which the accountant counts on."""
        data = hashlib.sha256(f"{self.secret}:{number}:{name}".encode()).digest()
        return int.from_bytes(data[:8], "big") < share * 2**64

    def _seed(self, number: int) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.secret}:{number}".encode()).digest()[:8], "big") >> 1

    def state(self) -> dict[str, Any]:
        return {"clip": self.clip, "secret": self.secret}

    def load(self, state: Mapping[str, Any]) -> None:
        self.clip, self.secret = float(state["clip"]), str(state["secret"])


def epsilon(config: PrivacyConfig, share: float, rounds: int) -> float:
    """What so many rounds spend at the recipe's delta, for clients asked with this chance, by opacus' Renyi accountant
    (Mironov et al. 2019, arXiv 1908.10530). Neighbours differ by one client with all its data."""
    try:
        from opacus.accountants import RDPAccountant
    except ImportError:
        raise BadRequest("the privacy that is spent is told by opacus, which is not installed; pip install opacus") from None
    accountant = RDPAccountant()
    accountant.history = [(config.noise, share, rounds)]
    return float(accountant.get_epsilon(delta=config.delta))
