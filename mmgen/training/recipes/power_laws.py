"""Power laws of loss over parameters and tokens, fitted to measured runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from itertools import product

import numpy as np

from mmgen.errors import BadRequest

DELTA = 1e-3
"""Of the Huber loss between logarithms, as in the paper."""
EXPONENTS = np.linspace(0.05, 1.5, 30)
"""Where searches begin."""
SEARCHES = 3


@dataclass(frozen=True)
class PowerLaw:
    """`L(N, D) = E + A / N^alpha + B / D^beta`; Hoffmann et al. 2022, eq. 2. Of L(N) alone B is 0."""

    E: float
    A: float
    alpha: float
    B: float = 0.0
    beta: float = 0.0

    def __call__(self, parameters: np.ndarray | float, tokens: np.ndarray | float = 1.0) -> np.ndarray:
        return np.asarray(self.E + self.A / np.power(parameters, self.alpha) + self.B / np.power(tokens, self.beta))

    def best_share(self) -> float:
        """`a` of `N_best ~ C^a`: how much of more computing goes into parameters; eq. 4 there."""
        return self.beta / (self.alpha + self.beta)


@dataclass(frozen=True)
class PowerLawFit:
    """A law and, of each of its numbers, where 95 % of refits to resampled runs lie."""

    law: PowerLaw
    low: PowerLaw
    high: PowerLaw


def fit(
    parameters: Sequence[float], loss: Sequence[float], tokens: Sequence[float] | None = None, resamples: int = 200
) -> PowerLawFit:
    """The law of runs, with intervals by bootstrap. `tokens` None: L(N). Raises BadRequest for fewer runs than its numbers."""
    x = [np.log(np.asarray(one, dtype=float)) for one in (parameters, tokens) if one is not None]
    y, needed = np.log(np.asarray(loss, dtype=float)), 1 + 2 * len(x)
    if len(y) < needed:
        raise BadRequest(f"{len(y)} runs cannot tell a law of {needed} numbers; train more sizes")
    centres = [float(part.mean()) for part in x]  # around them scales and exponents can be told apart
    x = [part - centre for part, centre in zip(x, centres, strict=True)]
    best = min((_search(x, y, start) for start in _starts(x, y)), key=lambda found: found[1])[0]
    rng, refits = np.random.default_rng(0), []
    for _ in range(resamples):
        chosen = rng.integers(len(y), size=len(y))
        refits.append(astuple(_law(_search([part[chosen] for part in x], y[chosen], best)[0], centres)))
    law = _law(best, centres)
    low, high = np.percentile(np.array(refits), (2.5, 97.5), axis=0) if refits else (astuple(law), astuple(law))
    return PowerLawFit(law, PowerLaw(*map(float, low)), PowerLaw(*map(float, high)))


def effective_tokens(tokens: np.ndarray, unique: np.ndarray, decay: float) -> np.ndarray:
    """Fresh tokens that teach as much as `tokens`, of which `unique` are different; Muennighoff et al. 2023, eq. 5.

    `decay`: R*, after about how many further epochs a repetition has lost its worth (arXiv 2305.16264).
    """
    repeats = np.maximum(tokens / unique - 1, 0.0)
    return np.asarray(np.minimum(tokens, unique) + unique * decay * -np.expm1(-repeats / decay))


def fit_decay(
    law: PowerLaw, parameters: Sequence[float], tokens: Sequence[float], unique: Sequence[float], loss: Sequence[float]
) -> float:
    """R* of runs that repeat their data, by a law of runs that do not; between 0.01 and 1,000 epochs.

    Of their parameters all count as useful: that excess ones decay too, as in the paper's eq. 6, is left out.
    """
    from scipy.optimize import minimize_scalar

    n, d, u, measured = (np.asarray(one, dtype=float) for one in (parameters, tokens, unique, loss))

    def error(exponent: float) -> float:
        told = np.log(law(n, effective_tokens(d, u, 10.0**exponent))) - np.log(measured)
        return float(np.where(np.abs(told) <= DELTA, 0.5 * told**2, DELTA * (np.abs(told) - 0.5 * DELTA)).sum())

    grid = np.linspace(-2, 3, 51)
    best = grid[int(np.argmin([error(one) for one in grid]))]
    found = minimize_scalar(error, bounds=(max(-2.0, best - 0.1), min(3.0, best + 0.1)), method="bounded")
    return float(10.0**found.x)


def table(found: PowerLawFit) -> list[tuple[str, str, str]]:
    """Name, value and interval of each number of the law; an exponent of 0 says that its term was not found."""
    told = [one.name for one in fields(PowerLaw) if found.law.B or one.name not in ("B", "beta")]
    return [(name, f"{getattr(found.law, name):.4g}", f"{getattr(found.low, name):.4g} to {getattr(found.high, name):.4g}")
            for name in told]  # fmt: skip


def _starts(x: list[np.ndarray], y: np.ndarray) -> list[np.ndarray]:
    """log E, then log A and alpha of each term: where the exponents are given, the rest is least squares without a sign."""
    from scipy.optimize import nnls

    found = []
    for exponents in product(EXPONENTS, repeat=len(x)):
        terms = [np.ones_like(y), *(np.exp(-e * part) for e, part in zip(exponents, x, strict=True))]
        factors, left = nnls(np.stack(terms, 1) / np.exp(y)[:, None], np.ones_like(y))
        logs = np.log(np.maximum(factors, 1e-6))
        found.append((left, np.array([logs[0], *(n for pair in zip(logs[1:], exponents, strict=True) for n in pair)])))
    return [start for _, start in sorted(found, key=lambda one: one[0])[:SEARCHES]]


def _search(x: list[np.ndarray], y: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    bounds = [(None, None)] + [(None, None), (0, 3)] * len(x)
    found = minimize(_objective, start, args=(x, y), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300})
    return found.x, float(found.fun)


def _objective(theta: np.ndarray, x: list[np.ndarray], y: np.ndarray) -> tuple[float, np.ndarray]:
    """Huber loss between logarithms of told and measured losses, and its slope; eq. 3 there."""
    scales, exponents = theta[1::2], theta[2::2]
    terms = np.stack([np.full_like(y, theta[0])] + [a - e * part for a, e, part in zip(scales, exponents, x, strict=True)])
    most = terms.max(0)
    shares = np.exp(terms - most)
    whole = shares.sum(0)
    error = most + np.log(whole) - y
    shares /= whole  # slopes of the logarithm of the sum
    small = np.abs(error) <= DELTA
    value = np.where(small, 0.5 * error**2, DELTA * (np.abs(error) - 0.5 * DELTA)).sum()
    pull = np.clip(error, -DELTA, DELTA)
    slope = [pull @ shares[0]]
    for number, part in enumerate(x, 1):
        slope += [pull @ shares[number], -(pull * shares[number]) @ part]
    return float(value) / DELTA**2, np.array(slope) / DELTA**2


def _law(theta: np.ndarray, centres: list[float]) -> PowerLaw:
    numbers = [float(np.exp(theta[0]))]
    for scale, exponent, centre in zip(theta[1::2], theta[2::2], centres, strict=True):
        numbers += [float(np.exp(scale + exponent * centre)), float(exponent)]
    return PowerLaw(*numbers)
