"""Predicts the milliseconds of a quantum from its runner, key and batch size, learned from measured quanta.

A quantum of n jobs takes about a + b n milliseconds: a pass reads the weights once, whatever it is made for, and computes for
every row. Sizes that were seen are known by their own mean, the others by a line through those.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

Group = tuple[str, Hashable]  # runner and key: jobs that can share a forward pass
NEW = 0.2
"""Weight of a measurement in a mean."""
KEPT = 0.97
"""What is left of the older ones' weight in the line, after each new one."""
SURE = 3
"""Quanta after which what was measured counts as known."""
SAFE = 3.0
"""Mean deviations that a batch keeps clear of a limit: about 99 quanta of 100 where they vary as a bell curve does."""
GROUPS = 4096
"""Groups that are remembered, the last used."""


@dataclass(frozen=True)
class Estimate:
    """What a runner expects of a job before its first quantum, from its parameters and the model's shape."""

    quanta: float  # until its end, at most
    milliseconds: float | None = None  # of one quantum alone, roughly; None: it cannot say


@dataclass
class MovingAverage:
    """Exponentially weighted; the plain one of the first measurements."""

    value: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.count += 1
        self.value += max(NEW, 1 / self.count) * (value - self.value)


@dataclass
class LinearCost:
    """Milliseconds by size, one group's. The line is fitted by least squares, in which old measurements fade."""

    sizes: dict[int, MovingAverage] = field(default_factory=dict)
    count: int = 0
    weight: float = 0.0
    size: float = 0.0  # weighted sums: of the size, the milliseconds, and their products
    milliseconds: float = 0.0
    square: float = 0.0
    product: float = 0.0

    def add(self, size: int, milliseconds: float) -> None:
        self.sizes.setdefault(size, MovingAverage()).add(milliseconds)
        self.count += 1
        self.weight = KEPT * self.weight + 1
        self.size = KEPT * self.size + size
        self.milliseconds = KEPT * self.milliseconds + milliseconds
        self.square = KEPT * self.square + size * size
        self.product = KEPT * self.product + size * milliseconds

    def at(self, size: int) -> float:
        if (known := self.sizes.get(size)) is not None:
            return known.value
        mean, cost = self.size / self.weight, self.milliseconds / self.weight
        spread = self.square / self.weight - mean * mean
        if len(self.sizes) == 1 or spread < 1e-9:  # half of it for the weights, half by the row; beyond it, all by the row
            return cost * max(0.5 + 0.5 * size / mean, size / mean)
        slope = max(0.0, (self.product / self.weight - mean * cost) / spread)
        return cost + slope * (size - mean) if cost > slope * mean else cost * size / mean


class CostModel:
    """Learned while it runs. A group that was never measured goes by its runner's prior, or by the runner's other groups."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Group, LinearCost] = OrderedDict()
        self._runners: dict[str, LinearCost] = {}
        self._priors: OrderedDict[Group, float] = OrderedDict()
        self._errors: dict[str, MovingAverage] = {}  # runner -> how far off predictions of sizes that were seen are, relatively
        self._used: dict[str, MovingAverage] = {}  # runner -> quanta that its jobs took, of those expected

    def observe(self, group: Group, size: int, milliseconds: float) -> None:
        """A quantum of `size` jobs took so long."""
        line = self._lines.get(group)
        if line is None:
            line = self._lines[group] = LinearCost()
            if len(self._lines) > GROUPS:
                self._lines.popitem(last=False)
        self._lines.move_to_end(group)
        if (known := line.sizes.get(size)) is not None and known.count >= SURE:
            off = abs(milliseconds - known.value) / max(known.value, 1e-9)
            self._errors.setdefault(group[0], MovingAverage()).add(min(1.0, off))
        line.add(size, milliseconds)
        self._runners.setdefault(group[0], LinearCost()).add(size, milliseconds)

    def expect(self, group: Group, milliseconds: float | None) -> None:
        """The runner's prior: what one job's quantum takes alone."""
        if milliseconds is not None and group not in self._lines:
            self._priors[group] = milliseconds
            if len(self._priors) > GROUPS:
                self._priors.popitem(last=False)

    def observe_end(self, runner: str, expected: float, took: float) -> None:
        """A job ended well after so many quanta."""
        if expected > 0:
            self._used.setdefault(runner, MovingAverage()).add(took / expected)

    def known(self, group: Group) -> bool:
        """Whether its quanta were measured, and not only expected."""
        line = self._lines.get(group)
        return line is not None and line.count >= SURE

    def predict(self, group: Group, size: int) -> float | None:
        """Milliseconds of a quantum of that size; None: nothing is known of that runner."""
        at = self.at(group)
        return None if at is None else at(size)

    def at(self, group: Group) -> Callable[[int], float] | None:
        """Milliseconds of a quantum by its size; None: nothing is known of that runner."""
        line = self._lines.get(group)
        if line is None and (prior := self._priors.get(group)) is not None:
            return lambda size: prior * size
        line = line or self._runners.get(group[0])
        return None if line is None else line.at

    def least(self, group: Group) -> float | None:
        """What a job's quantum takes alone at least, by what was measured: a part of the smallest one, if none was alone."""
        line = self._lines.get(group)
        if line is None:
            return None
        size = min(line.sizes)
        return line.sizes[size].value / size

    def used(self, runner: str) -> float:
        """Quanta that its jobs take, of those that it expects at most."""
        mean = self._used.get(runner)
        return 1.0 if mean is None else mean.value

    def largest(self, group: Group, most: int, milliseconds: float) -> int:
        """Jobs, `most` at most, whose quantum takes no longer than that; 0: not even one. Of what is unknown one is tried.

        It keeps clear of the limit by what quanta of that runner vary.
        """
        error = self._errors.get(group[0])
        milliseconds /= 1 + SAFE * (0.0 if error is None else error.value)
        whole = self.predict(group, most)
        if whole is None:
            return 1
        if whole <= milliseconds:
            return most
        low, high = 0, most  # low fits, high does not
        while high - low > 1:
            middle = (low + high) // 2
            if (self.predict(group, middle) or 0.0) <= milliseconds:
                low = middle
            else:
                high = middle
        return low
