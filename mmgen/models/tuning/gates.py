"""Whether a candidate's results are as good as those of the reference precision. Knows arrays; not models or time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

COSINE = 0.9999
"""Of vectors, in the mean, at least."""
PSNR = 40.0
"""Of every image, dB, at least."""
PERPLEXITY = 0.005
"""By what part it may be higher, or lower."""
F1_LOSS, LOG_ODDS = 0.001, 0.25
"""Of answers: by how much their mean F1 may be lower, and what their log-odds against "no answer" may be off in the mean."""
LEVEL, NEAR = 2 / 255, 1e-5
"""By how much a result in a batch may differ from the same alone: of pixels in [-1, 1] one level, and of unit vectors."""


@dataclass(frozen=True)
class Verdict:
    """The result of a gate, and the figure that it read."""

    accepted: bool
    figure: str

    def __and__(self, other: Verdict) -> Verdict:
        return Verdict(self.accepted and other.accepted, f"{self.figure}, {other.figure}")


def cosine(reference: np.ndarray, found: np.ndarray) -> Verdict:
    """Of rows (B, D), pair by pair, in float64."""
    one, other = reference.astype(np.float64), found.astype(np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    mean = float(((one * other).sum(1) / np.maximum(norms, 1e-300)).mean())
    return Verdict(mean >= COSINE, f"cosine {mean:.6f}")


def scores(reference: np.ndarray, found: np.ndarray) -> Verdict:
    """Of scores (N,) that order things: their correlation, which is the cosine of what they differ by from their means."""
    centred = (reference - reference.mean())[None], (found - found.mean())[None]
    verdict = cosine(*centred)
    return Verdict(verdict.accepted, verdict.figure.replace("cosine", "correlation"))


def answers(reference: np.ndarray, found: np.ndarray) -> Verdict:
    """Of rows (N, 2): the F1 of an answer, and its log-odds."""
    (before, _), (now, _) = reference.mean(0), found.mean(0)
    off = float(np.abs(reference[:, 1] - found[:, 1]).mean())
    figure = f"F1 {100 * now:.1f} ({100 * before:.1f}), log-odds {off:.2f} off"
    return Verdict(bool(now >= before - F1_LOSS and off <= LOG_ODDS), figure)


def images(reference: np.ndarray, found: np.ndarray) -> Verdict:
    """Of images (B, ...) in [-1, 1]; the worst of them counts."""
    error = ((reference.astype(np.float64) - found) ** 2).reshape(len(reference), -1).mean(1)
    worst = float(error.max())
    psnr = math.nan if math.isnan(worst) else math.inf if worst == 0 else 10 * math.log10(4 / worst)
    return Verdict(psnr >= PSNR, f"PSNR {psnr:.1f} dB")


def company(alone: np.ndarray, together: np.ndarray, limit: float = NEAR) -> Verdict:
    """Of the same thing's results, computed alone and in one batch."""
    difference = float(np.abs(alone - together).max())
    return Verdict(difference <= limit, f"{difference:.1g} off in a batch")


def perplexity(reference: float, found: float) -> Verdict:
    """Of mean negative log-likelihoods a token, in nats, over the same text."""
    change = math.expm1(min(found - reference, 700.0))
    return Verdict(abs(change) <= PERPLEXITY, f"perplexity {change:+.2%}")
