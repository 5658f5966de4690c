"""The choice itself: candidates are loaded, judged, timed in turn, and the fastest that is as good as the safe one is kept."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mmgen import weight_files
from mmgen.errors import MmgenError
from mmgen.models.tuning import machine
from mmgen.models.tuning.choices import Choice, Choices, Row
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.timing import MARGIN, Decision, Lap, Timings, interleaved, timed
from mmgen.models.tuning.workload import Workload

log = logging.getLogger(__name__)
SECONDS = 1.2, 0.8
"""That loading and judging candidates, and timing them, may add to a model's first load."""
THOROUGH = 90.0, 12.0
"""And when it is asked for by itself: a language model's perplexity is taken over thousands of tokens."""
ROOM = 600 << 20
"""Bytes of weights beyond which a model is measured only when it is asked for: reading it once more takes too long."""

Call = Callable[[Callable[[], Any]], Any]
"""Runs a function where models run, between the turns of other work."""


class OutOfTime(Exception):
    """The time for judging is over."""


@dataclass(frozen=True)
class Subject:
    """The model to choose for."""

    reference: str
    folder: Path
    load: Callable[[str], Any]  # a precision -> the model in it, ready to run
    call: Call
    idle: Callable[[], bool]  # whether nothing else waits for the device

    def key(self, device: str) -> dict[str, str]:
        """The machine and the model: its configuration, and names and sizes of its weights."""
        files = weight_files.used(self.folder)
        about = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
        configs = [*self.folder.glob("*.json"), *self.folder.glob("*/config.json")] if self.folder.is_dir() else []
        about += [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(configs)]
        return {**machine.described(device), "files": hashlib.sha256("\0".join(about).encode()).hexdigest()[:16]}

    @property
    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in weight_files.used(self.folder))


class Tuner:
    """Chooses for every model of a process.

    `measures` False: nothing is measured or read, every model keeps its safe precision. `thorough`: what was kept does not
    count, and a model of any size is measured for as long as it takes, as long as THOROUGH allows.
    """

    def __init__(self, folder: Path, device: str, measures: bool = True, thorough: bool = False) -> None:
        self.choices, self.device, self.measures, self.thorough = Choices(folder), device, measures, thorough
        self.made: list[Choice] = []  # by this process

    def precision(self, workload: Workload, subject: Subject) -> tuple[str, Any]:
        """At a model's first load: its precision, and the model where it was loaded for that; else None."""
        candidates = self._candidates(workload, subject) if self.measures else ()
        if len(candidates) < 2:
            return "", None
        if self.device != "cpu":
            return ("bf16" if "bf16" in candidates and _has_bf16(self.device) else ""), None
        known = None if self.thorough else self.choices.get(workload.kind, subject.key(self.device))
        if known is not None and known.final and known.precision in candidates:
            return known.precision, None
        if not self.thorough and workload.asked_only(subject.folder):
            return "", None
        if subject.nbytes > ROOM and not self.thorough:
            log.info("%s is too large to be measured while it loads: `mmgen tune %s`", subject.reference, subject.reference)
            return "", None
        choice, model = self.measure(workload, subject, self.thorough, tries=known.tries if known else 0)
        if choice is None:
            return "", model
        (log.info if choice.settled else log.warning)("%s", choice)
        return choice.precision, model

    def _candidates(self, workload: Workload, subject: Subject) -> tuple[str, ...]:
        """None of a folder that cannot be read: loading it says why."""
        try:
            return workload.candidates(subject.folder)
        except MmgenError:
            return ()

    def measure(
        self, workload: Workload, subject: Subject, thorough: bool = False, tries: int = 0
    ) -> tuple[Choice | None, Any]:
        """The choice, kept, and the model in it. None: the model is none of the workload's, and stays as it was loaded."""
        safe, *others = workload.candidates(subject.folder)
        models = {safe: subject.call(lambda: subject.load(safe))}
        if not workload.takes(models[safe]):
            return None, models[safe]
        judging, timing = THOROUGH if thorough else SECONDS
        run = _Measurement(workload, subject, safe, time.perf_counter() + judging, thorough)
        for name in others:
            run.admit(name, models)
        choice = run.chosen(run.times(models, timing), self.device)
        choice = replace(choice, tries=tries + 1)
        self.choices.put(choice)
        self.made.append(choice)
        return choice, models[choice.precision]


class _Measurement:
    """One model being measured: rows of the table as they come."""

    def __init__(self, workload: Workload, subject: Subject, safe: str, ends: float, thorough: bool) -> None:
        """`ends`: when judging must be over."""
        self.workload, self.subject, self.safe, self.ends, self.thorough = workload, subject, safe, ends, thorough
        self.reference: list[Any] = []  # the safe candidate's results
        self.passed: dict[str, Verdict] = {}
        self.refused: dict[str, str] = {}
        self.unreached: dict[str, str] = {}

    def admit(self, name: str, models: dict[str, Any]) -> None:
        """Loads a candidate and judges it; what is as good joins `models`."""
        try:
            self.reference = self.reference or self._results(models[self.safe])
            self._check()
            model = self.subject.call(lambda: self.subject.load(name))
            verdict = self.workload.judge(self.reference, self._results(model))
        except OutOfTime as why:
            self.unreached[name] = str(why)
        except Exception as why:  # whatever a library raises on a processor that lacks something
            self.refused[name] = f"does not run here ({type(why).__name__}: {(str(why).splitlines() or [''])[0][:100]})"
        else:
            if verdict.accepted:
                models[name], self.passed[name] = model, verdict
            else:
                self.refused[name] = f"not as good: {verdict.figure}"

    def times(self, models: dict[str, Any], seconds: float) -> Timings:
        """Of what is as good."""

        def lap(name: str) -> Lap:
            return self.subject.call(lambda: timed(lambda: self.workload.run(models[name])))  # type: ignore[no-any-return]

        if len(models) == 1:
            return Timings({name: [] for name in models})
        return interleaved({name: partial(lap, name) for name in models}, time.perf_counter() + seconds)

    def chosen(self, timings: Timings, device: str) -> Choice:
        """The fastest, where the rounds say so clearly; else the safe one."""
        decided = {name: timings.decide(self.safe, name) for name in self.passed}
        best = min((name for name, how in decided.items() if how == "faster"), key=timings.ms, default=self.safe)
        if doubt := self._doubt(decided, timings):
            return self._choice(self.safe, f"{doubt}, so this safe one is kept for now", timings, device, settled=False)
        if best == self.safe:
            why = f"nothing is {MARGIN:.0%} faster" if decided else "nothing else is as good here"
            return self._choice(best, why, timings, device)
        took = f"{timings.ms(best):.1f} ms a pass against {timings.ms(self.safe):.1f}"
        return self._choice(best, f"{took}, {self.passed[best].figure}", timings, device)

    def _doubt(self, decided: Mapping[str, Decision], timings: Timings) -> str:
        """Why nothing is settled; empty: it is."""
        if decided and not self.subject.idle():
            return "other work waited while it was measured"
        if "unsettled" in decided.values():
            rounds = f"{timings.rounds} rounds do not agree"
            return f"{rounds}, the machine is busy" if timings.busy else rounds
        return "" if decided else next(iter(self.unreached.values()), "")

    def _results(self, model: Any) -> list[Any]:
        """All of them, each in a turn of its own."""
        steps, out, end = self.workload.results(model, self.thorough), [], object()
        while (one := self.subject.call(lambda: next(steps, end))) is not end:
            out.append(one)
            self._check()
        return out

    def _check(self) -> None:
        if time.perf_counter() > self.ends:
            raise OutOfTime(f"judging took more than {(THOROUGH if self.thorough else SECONDS)[0]:.1f} s")

    def _choice(self, precision: str, why: str, timings: Timings, device: str, settled: bool = True) -> Choice:
        figures = {self.safe: "the reference"} | {name: verdict.figure for name, verdict in self.passed.items()}
        rows = [
            Row(name, round(timings.ms(name), 3) if timings.rounds else None, True, figure) for name, figure in figures.items()
        ]
        rows += [Row(name, None, False, reason) for name, reason in (self.refused | self.unreached).items()]
        subject = self.subject
        return Choice(self.workload.kind, subject.reference, precision, settled, why, tuple(rows), subject.key(device))


def _has_bf16(device: str) -> bool:
    import torch

    return device.startswith("cuda") and torch.cuda.is_bf16_supported()
