"""What a kind of model declares: precisions to choose from, a short pass of real shapes, and results to be judged by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from mmgen.models.tuning.gates import Verdict


class Workload(ABC):
    """One kind of model. A pass is as short as an engine's quantum, and other work may run between any two."""

    kind: ClassVar[str]

    @abstractmethod
    def candidates(self, folder: Path) -> tuple[str, ...]:
        """Precisions of a folder's model on a processor, as they stand behind a # of a reference; the safe one first."""

    def asked_only(self, folder: Path) -> bool:
        """Whether `mmgen tune` alone measures it, as judging takes longer than a first load may."""
        return False

    @abstractmethod
    def takes(self, model: Any) -> bool:
        """Whether a loaded model is of this kind: a plugin's, or another library's, keeps its own precision."""

    @abstractmethod
    def run(self, model: Any) -> None:
        """One pass."""

    @abstractmethod
    def results(self, model: Any, thorough: bool) -> Iterator[Any]:
        """Pass by pass what the model makes of fixed inputs, to be collected for `judge`; `thorough`: of more of them."""

    @abstractmethod
    def judge(self, reference: list[Any], found: list[Any]) -> Verdict:
        """Of what the safe candidate and another gave."""
