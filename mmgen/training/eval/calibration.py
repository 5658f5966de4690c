"""Confidences that mean what they say: temperature scaling and isotonic regression, fitted on other questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Calibrator = Callable[[float], float]
"""A confidence -> the share of right answers that it stands for, both 0 to 1."""
TEMPERATURES = torch.logspace(-1, 1, 81)
LEAST = 1e-6
"""What confidences keep from 0 and 1."""


def fitted_temperature(margins: Tensor) -> float:
    """By which margins are divided so that `sigmoid` of them is likeliest (Guo et al. 2017); between 0.1 and 10."""
    nats = -F.logsigmoid(margins[:, None] / TEMPERATURES).mean(0)
    return float(TEMPERATURES[nats.argmin()])


def temperature_scaling(confidences: Sequence[float], right: Sequence[bool]) -> Calibrator:
    """`sigmoid(log odds / T)`: keeps the order of confidences, and a half stays a half."""
    odds = torch.tensor([_log_odds(one) for one in confidences])
    signs = torch.tensor([1.0 if one else -1.0 for one in right])
    temperature = fitted_temperature(odds * signs)
    return lambda one: 1 / (1 + math.exp(-_log_odds(one) / temperature))


def isotonic(confidences: Sequence[float], right: Sequence[bool]) -> Calibrator:
    """The nondecreasing steps nearest to what was right (Zadrozny and Elkan 2002), and straight lines between confidences."""
    import numpy as np
    from scipy.optimize import isotonic_regression

    places, which = np.unique(np.array(confidences, dtype=float), return_inverse=True)
    counts = np.bincount(which)
    shares = np.bincount(which, np.array(right, dtype=float)) / counts
    heights = isotonic_regression(shares, weights=counts.astype(float)).x
    return lambda one: float(np.interp(one, places, heights))


def _log_odds(confidence: float) -> float:
    held = min(1 - LEAST, max(LEAST, confidence))
    return math.log(held / (1 - held))
