"""The fastest precision that is as good is chosen, once a machine; whatever is in doubt leaves the safe one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmgen.models.tuning import gates, tuner
from mmgen.models.tuning.gates import Verdict
from mmgen.models.tuning.timing import Lap
from mmgen.models.tuning.tuner import Subject, Tuner
from mmgen.models.tuning.workload import Workload

ROWS = np.eye(4)
SECONDS = {"fp32": 1.0, "bf16": 0.4, "int8": 0.3, "slow": 2.0, "broken": 0.1}
ERRORS = {"fp32": 0.0, "bf16": 0.001, "int8": 0.1, "slow": 0.0}


@dataclass
class Model:
    precision: str


class Vectors(Workload):
    kind = "vectors"

    def __init__(self, *candidates: str) -> None:
        self.names = candidates

    def candidates(self, folder: Path) -> tuple[str, ...]:
        return self.names

    def takes(self, model: Any) -> bool:
        return isinstance(model, Model)

    def run(self, model: Model) -> None:
        raise AssertionError("laps are given")

    def results(self, model: Model, thorough: bool) -> Iterator[np.ndarray]:
        if model.precision == "broken":
            raise RuntimeError("no such instruction\nand more")
        yield ROWS + ERRORS[model.precision]

    def judge(self, reference: list[np.ndarray], found: list[np.ndarray]) -> Verdict:
        return gates.cosine(reference[0], found[0])


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was loaded; laps are those of SECONDS."""
    monkeypatch.setattr(tuner, "timed", lambda run: Lap(SECONDS[_timed(run)], SECONDS[_timed(run)]))
    return []


def _timed(run: Callable[[], Any]) -> str:
    (name,) = (cell.cell_contents for cell in run.__closure__ or () if isinstance(cell.cell_contents, str))
    return name


def subject(folder: Path, loads: list[str], make: Callable[[str], Any] = Model, idle: bool = True) -> Subject:
    if not (folder / "model.safetensors").exists():
        (folder / "model.safetensors").write_bytes(b"x" * 9)

    def load(precision: str) -> Any:
        loads.append(precision)
        return make(precision)

    return Subject("a-model", folder, load, lambda function: function(), lambda: idle)


def test_the_fastest_of_those_that_are_as_good_is_chosen_once(tmp_path: Path, loads: list[str]) -> None:
    chooser, workload = Tuner(tmp_path / "home", "cpu"), Vectors("fp32", "slow", "bf16", "int8", "broken")
    precision, model = chooser.precision(workload, subject(tmp_path, loads))
    assert (precision, model) == ("bf16", Model("bf16")) and loads == ["fp32", "slow", "bf16", "int8", "broken"]
    (choice,) = chooser.choices.all()
    rows = {row.candidate: row for row in choice.table}
    assert choice.settled and rows["bf16"].ms == 400 and rows["slow"].accepted
    assert not rows["int8"].accepted and rows["int8"].why.startswith("not as good: cosine 0.9")
    assert not rows["broken"].accepted and "RuntimeError: no such instruction)" in rows["broken"].why
    loads.clear()
    assert Tuner(tmp_path / "home", "cpu").precision(workload, subject(tmp_path, loads)) == ("bf16", None) and not loads


def test_what_takes_long_to_judge_is_measured_only_when_it_is_asked_for(tmp_path: Path, loads: list[str]) -> None:
    workload = type("Slow", (Vectors,), {"asked_only": lambda self, folder: True})("fp32", "bf16")
    assert Tuner(tmp_path / "home", "cpu").precision(workload, subject(tmp_path, loads)) == ("", None) and not loads
    asked = Tuner(tmp_path / "home", "cpu", thorough=True)
    assert asked.precision(workload, subject(tmp_path, loads)) == ("bf16", Model("bf16"))
    assert Tuner(tmp_path / "home", "cpu").precision(workload, subject(tmp_path, loads)) == ("bf16", None)


def test_other_weights_are_another_model(tmp_path: Path, loads: list[str]) -> None:
    chooser, workload = Tuner(tmp_path / "home", "cpu"), Vectors("fp32", "bf16")
    chooser.precision(workload, subject(tmp_path, loads))
    (tmp_path / "config.json").write_text("{}")
    chooser.precision(workload, subject(tmp_path, loads))
    assert loads == ["fp32", "bf16"] * 2


@pytest.mark.parametrize("candidates", [("fp32", "int8"), ("fp32", "slow")])
def test_nothing_better_leaves_the_safe_one(candidates: tuple[str, ...], tmp_path: Path, loads: list[str]) -> None:
    chooser = Tuner(tmp_path / "home", "cpu")
    assert chooser.precision(Vectors(*candidates), subject(tmp_path, loads)) == ("fp32", Model("fp32"))
    assert next(chooser.choices.all()).settled


def test_a_busy_machine_keeps_the_safe_one_says_so_and_tries_again(
    tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chooser, workload = Tuner(tmp_path / "home", "cpu"), Vectors("fp32", "bf16")
    assert chooser.precision(workload, subject(tmp_path, loads, idle=False))[0] == "fp32"
    assert "other work waited while it was measured, so this safe one is kept for now" in caplog.text
    monkeypatch.setattr(tuner, "interleaved", lambda *_: _alternating())
    assert chooser.precision(workload, subject(tmp_path, loads))[0] == "fp32"
    assert "4 rounds do not agree, the machine is busy" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(tuner, "SECONDS", (-1.0, -1.0))
    assert chooser.precision(workload, subject(tmp_path, loads))[0] == "fp32"
    assert "judging took more than" in caplog.text
    loads.clear()
    assert chooser.precision(workload, subject(tmp_path, loads)) == ("fp32", None) and not loads, "three times are enough"


def _alternating() -> tuner.Timings:
    return tuner.Timings({"fp32": [Lap(1.0, 0.2)] * 4, "bf16": [Lap(0.5, 0.1)] * 4})


def test_what_is_not_measured(tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    workload, one = Vectors("fp32", "bf16"), subject(tmp_path, loads)
    assert Tuner(tmp_path, "cpu", measures=False).precision(workload, one) == ("", None)
    assert Tuner(tmp_path, "cpu").precision(Vectors("fp32"), one) == ("", None)
    monkeypatch.setattr(tuner, "ROOM", 5)
    assert Tuner(tmp_path, "cpu").precision(workload, one) == ("", None) and not loads
    monkeypatch.undo()
    plugins = subject(tmp_path, loads, make=str)
    assert Tuner(tmp_path, "cpu").precision(workload, plugins) == ("", "fp32"), "a plugin's model stays as it was loaded"
    monkeypatch.setattr(tuner, "_has_bf16", lambda device: True)
    assert Tuner(tmp_path, "cuda").precision(workload, one) == ("bf16", None)
