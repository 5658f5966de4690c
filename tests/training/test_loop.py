"""The loop over a task of its own: accumulated gradients equal whole ones, and a resumed run equals an undisturbed one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from mmgen.errors import BadRequest
from mmgen.training import loop, mixed_precision, optimizers
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.run_log import RunLog


class Squares(nn.Module):
    """Mean squared output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": self.model(x).pow(2).mean()}


class Shrink(TaskHooks):
    """A linear layer that learns to give 0."""

    ylabel = "loss"

    def __init__(self, recipe: LoopRecipe) -> None:
        torch.manual_seed(0)
        self.recipe, self.model, self.validated = recipe, nn.Linear(3, 2), list[int]()
        self.loss, self.optimizer = Squares(self.model), optimizers.adamw(self.model, weight_decay=0.0, betas=(0.9, 0.95))

    def parts(self, step: int, process: int, processes: int) -> Sequence[tuple[Tensor, float]]:
        numbers = self.recipe.numbers(step, process, processes)
        rows = [torch.full((3,), number / 10) for number in numbers]
        return [(torch.stack(list(chunk)), len(chunk) / len(rows)) for chunk in self.recipe.chunks(rows)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        self.validated.append(step)


def run(out: Path, stop: float | None = None, **more: Any) -> tuple[bool, Shrink]:
    recipe = LoopRecipe(**{"out": out, "steps": 6, "batch": 4, "validate_every": 4, **more})
    out.mkdir(exist_ok=True)
    task = Shrink(recipe)
    return loop.run(recipe, task, RunLog(out, recipe.steps), Accelerator(cpu=True), stop), task


def test_accumulated_gradients_equal_whole_ones(tmp_path: Path) -> None:
    (done, whole), (_, parts) = run(tmp_path / "a"), run(tmp_path / "b", together=1)
    assert done and whole.validated == [4, 6]
    torch.testing.assert_close(whole.model.weight, parts.model.weight)


def test_a_resumed_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    _, whole = run(tmp_path / "a")
    done, _ = run(tmp_path / "b", stop=0)
    assert not done
    done, resumed = run(tmp_path / "b")
    assert done and torch.equal(whole.model.weight, resumed.model.weight)


def test_a_run_planned_by_time_ends_by_its_clock(tmp_path: Path) -> None:
    done, task = run(tmp_path / "a", minutes=0.002, schedule={"peak": 0.01, "floor": 0.0}, checkpoint_minutes=0)
    assert done and task.validated
    assert 0 < task.optimizer.param_groups[0]["lr"] < 0.01  # it fell with the clock, whatever `steps` says
    again, _ = run(tmp_path / "a", minutes=0.002)
    assert again  # and has nothing left to do


def test_a_batch_that_does_not_divide(tmp_path: Path) -> None:
    recipe = LoopRecipe(out=tmp_path, steps=1, batch=3)

    class Two:
        num_processes = 2

    with pytest.raises(BadRequest, match="3 rows do not divide among 2 devices"):
        loop.run(recipe, Shrink(recipe), RunLog(tmp_path, 1), Two())


def test_a_measured_precision_is_kept_when_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def measured(module: nn.Module, batch: Tensor, minimised: str) -> tuple[str, str]:
        asked.append((len(batch), minimised))
        return "bf16", "it is faster"

    monkeypatch.setattr(mixed_precision, "measured", measured)
    run(tmp_path / "safe", mixed_precision="auto")
    assert not asked, "tests measure nothing"
    monkeypatch.delenv("MMGEN_PRECISION")
    done, task = run(tmp_path / "a", stop=0, mixed_precision="auto")
    assert not done and "training in bf16: it is faster" in caplog.text and task.model.weight.dtype == torch.float32
    done, resumed = run(tmp_path / "a", mixed_precision="auto")
    _, exact = run(tmp_path / "b")
    assert done and asked == [(4, "loss")]
    assert not torch.equal(resumed.model.weight, exact.model.weight), "its products are rounded"
    torch.testing.assert_close(resumed.model.weight, exact.model.weight, atol=1e-2, rtol=1e-2)


def test_a_run_ends_with_what_it_took(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Resumed as well: rows and FLOPs are the whole run's."""
    out = tmp_path / "run"
    while not run(out, stop=0.0)[0]:
        pass
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    (told,) = [row for row in rows if "flops" in row]
    assert told["rows"] == 24 and told["flops"] == 24 * 2 * (2 * 3 * 2) and "24 rows in" in caplog.text
