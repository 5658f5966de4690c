"""A solver as a table of numbers, and the one update that advances every row. Knows no solver by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

HISTORY = 3  # what a row remembers: a saved state, the last x0 prediction, the one before


class SolverColumn(IntEnum):
    """What a number of the table multiplies: X to NOISE make the next state, `KEEP_*` the saved one, in this order."""

    TIMESTEP = 0  # what the model is told; multiplies nothing
    X0_FROM_X = 1  # the x0 prediction from the state ...
    X0_FROM_OUTPUT = 2  # ... and the model's output
    CLIP = 3  # bound of the x0 prediction; infinite: none
    X = 4
    X0 = 5
    OUTPUT = 6
    SAVED = 7
    LAST = 8  # x0 prediction of the evaluation before
    EARLIER = 9  # and of the one before that
    NOISE = 10
    KEEP_X = 11
    KEEP_X0 = 12
    KEEP_SAVED = 13
    KEEP_LAST = 14
    KEEP_EARLIER = 15


Coefficients = Mapping[SolverColumn, np.ndarray | float]
"""Columns of a table under construction, (rows,) each; what is not named is 0."""


@dataclass(frozen=True)
class SolverTable:
    """All coefficients of one job, computed once. One row is one evaluation of the model.

    States are variance preserving for every solver: x = alpha * image + sigma * noise with alpha^2 + sigma^2 = 1, so the
    model reads x as it stands, also with Euler and Heun. Row i starts at level i; the end is level `len(table)`.
    """

    solver: str
    coefficients: Tensor  # (rows, columns), float32
    alpha: Tensor  # (rows + 1,), float32
    sigma: Tensor  # (rows + 1,), float32
    init_noise_sigma: float

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def timesteps(self) -> Tensor:
        """(rows,), float32; between whole ones where a solver goes there."""
        return self.coefficients[:, SolverColumn.TIMESTEP]

    def draws(self, row: int) -> bool:
        """Whether this row adds noise: draw it from the job's generator then, and only then."""
        return bool(self.coefficients[row, SolverColumn.NOISE] != 0)

    def first(self, noise: Tensor) -> Tensor:
        """Unit noise -> the state at row 0 of an image drawn from nothing."""
        return noise * self.init_noise_sigma

    def noised(self, clean: Tensor, noise: Tensor, row: int = 0) -> Tensor:
        """A given image or latent at the level where `row` starts: img2img at row 0, inpainting at any."""
        return clean * self.alpha[row].to(clean.device) + noise * self.sigma[row].to(clean.device)


def stack(places: Sequence[tuple[SolverTable, int]], device: str | torch.device = "cpu") -> Tensor:
    """The rows of a batch, one per (table, row) -> (B, columns). `rows[:, Column.TIMESTEP]` goes to the model."""
    return torch.stack([table.coefficients[row] for table, row in places]).to(device)


def fused_update(x: Tensor, output: Tensor, history: Tensor, noise: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One step for every row, whatever its solver, step or step count. A row's result does not depend on its neighbours.

    Args:
        x: states, (B, ...), float32.
        output: the model's output after guidance, (B, ...).
        history: (B, HISTORY, ...), float32; zeros before a job's first row.
        noise: unit noise, (B, ...); anything finite where a row draws none.
        rows: (B, columns) of `stack`.

    Returns: the next states, the next history, and the x0 prediction (for a preview).
    """
    c = rows.T.reshape(len(SolverColumn), -1, *[1] * (x.dim() - 1)).unbind()  # each (B, 1, ...)
    output = output.to(x.dtype)
    saved, last, earlier = history.unbind(1)
    x0 = torch.addcmul(c[SolverColumn.X0_FROM_X] * x, c[SolverColumn.X0_FROM_OUTPUT], output)
    x0 = torch.clamp(x0, -c[SolverColumn.CLIP], c[SolverColumn.CLIP])
    step = _sum(c[SolverColumn.X : SolverColumn.KEEP_X], (x, x0, output, saved, last, earlier, noise))
    keep = _sum(c[SolverColumn.KEEP_X :], (x, x0, saved, last, earlier))
    return step, torch.stack((keep, x0, last), dim=1), x0


def _sum(coefficients: Sequence[Tensor], terms: Sequence[Tensor]) -> Tensor:
    """Products added one after the other: an order of summation that no batch changes."""
    total = coefficients[0] * terms[0]
    for coefficient, term in zip(coefficients[1:], terms[1:], strict=True):
        total = torch.addcmul(total, coefficient, term)
    return total
