"""Online regression that corrects completion estimates for later arrivals.

A fluid model at submission can say when a job ends if nobody comes any more, and when if all who are there stay: who ends is
followed by another. Learned is how far it is from the first to the second (`stays`), and what those who come later
bring although nobody is there now (`come`), for each job that there were lately. The mean time of a job of size x that finds n
others has the same form in egalitarian processor sharing: one function of x, and n times another (Coffman, Muntz and Trotter
1970, "Waiting time distributions for processor-sharing systems"). Its variance grows with x: hence the weights.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

KEPT = 0.98
"""What is left of older jobs' weight after each that ends: about 50 jobs count."""
LATELY = 10.0
"""Seconds in which the mean number of jobs forgets."""
MOST = 8.0
"""Times its own work that a job waits for later ones at most, for each job that there were lately."""
CAREFUL = 0.02
"""Of the jobs' weight; draws both coefficients to 0 where what was seen says little of them."""
KINDS = 4096
"""Kinds of jobs that are remembered, the last learned."""


@dataclass(frozen=True)
class FluidEstimate:
    """Seconds to a job's end, as the fluid model says."""

    alone: float  # with the device to itself
    least: float  # as the first of its user and priority, by the least that its quanta can cost
    emptying: float  # behind what waits now, if nobody comes any more
    steady: float  # in turn with what is there now, if all of it stays


@dataclass
class WeightedLeastSquares:
    """Least squares in units of a job's own work, weighted by it, over two columns; older jobs fade."""

    weight: float = 0.0
    came: float = 0.0  # weighted sums of squares: the jobs lately,
    stayed: float = 0.0  # and from emptying to steady,
    both: float = 0.0  # of their product,
    by_came: float = 0.0  # and of each with what was beyond emptying
    by_stayed: float = 0.0

    def add(self, ahead: FluidEstimate, lately: float, took: float) -> None:
        wide, beyond = ((one - ahead.emptying) / ahead.alone for one in (ahead.steady, took))
        self.weight = KEPT * self.weight + ahead.alone
        self.came = KEPT * self.came + ahead.alone * lately * lately
        self.stayed = KEPT * self.stayed + ahead.alone * wide * wide
        self.both = KEPT * self.both + ahead.alone * lately * wide
        self.by_came = KEPT * self.by_came + ahead.alone * lately * beyond
        self.by_stayed = KEPT * self.by_stayed + ahead.alone * wide * beyond

    def solve(self) -> tuple[float, float]:
        """`stays` from 0 to 1, and `come` from -MOST to MOST."""
        careful = CAREFUL * self.weight
        came, stayed = self.came + careful, self.stayed + careful
        stays = (came * self.by_stayed - self.both * self.by_came) / (came * stayed - self.both * self.both)
        stays = min(1.0, max(0.0, stays))
        return stays, min(MOST, max(-MOST, (self.by_came - stays * self.both) / came))


class ForecastCorrection:
    """Learned from jobs that ended well, for each kind apart: 0 and 0 while unknown. Who finds an idle device, and nobody was
    there lately, is foreseen to have it alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._fits: OrderedDict[Hashable, WeightedLeastSquares] = OrderedDict()
        self._jobs, self._mean, self._since = 0, 0.0, clock()

    def count(self, jobs: int) -> None:
        """So many are there from now on."""
        self._mean, self._jobs, self._since = self.lately(), jobs, self.clock()

    def lately(self) -> float:
        """Jobs that were there, in the mean."""
        return self._jobs + (self._mean - self._jobs) * math.exp((self._since - self.clock()) / LATELY)

    def expect(self, kind: Hashable, ahead: FluidEstimate) -> float:
        """Seconds."""
        fit = self._fits.get(kind)
        stays, come = (0.0, 0.0) if fit is None else fit.solve()
        later = come * ahead.alone * self.lately()
        return max(ahead.alone, ahead.least, ahead.emptying + stays * (ahead.steady - ahead.emptying) + later)

    def learn(self, kind: Hashable, ahead: FluidEstimate, lately: float, took: float) -> None:
        """A job took that many seconds; `ahead` and `lately` as they were when it was submitted."""
        if ahead.alone > 0:
            self._fits.setdefault(kind, WeightedLeastSquares()).add(ahead, lately, took)
            self._fits.move_to_end(kind)
            if len(self._fits) > KINDS:
                self._fits.popitem(last=False)
