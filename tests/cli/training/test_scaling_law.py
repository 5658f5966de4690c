"""mmgen scaling-law: what it prints of a plan, of an unfinished ladder, and of the laws behind measured losses."""

import math
from pathlib import Path

import pytest
import yaml
from cli_call import Call
from tiny_corpus import MODEL

from mmgen.training.recipes import scaling_law
from mmgen.training.recipes.scaling_law import RungResult

SIZES = (10**4, 3 * 10**4, 10**5, 3 * 10**5)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    values = {
        "out": str(tmp_path / "out"), "budgets": [1e9, 4e9],
        "recipe": {"model": {**MODEL, "max_tokens": 16}, "tokenizer": {"vocabulary": 300}, "batch": 2},
        "sizes": [{"hidden_size": width, "intermediate_size": 2 * width, "layers": 1} for width in (8, 16, 32)],
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "recipe.yaml"


def measured(monkeypatch: pytest.MonkeyPatch, results: list[RungResult] | None) -> None:
    monkeypatch.setattr(scaling_law, "run_ladder", lambda recipe, report, stop_after_minutes: results)


def test_a_plan_trains_nothing(call: Call, recipe: Path) -> None:
    planned = call("scaling-law", "--config", recipe, "--plan")
    head, *rows = planned.out.splitlines()
    assert planned.code == 0 and head.split() == ["parameters", "tokens", "FLOPs"] and len(rows) == 6
    rungs = scaling_law.ladder(scaling_law.ScalingRecipe(**yaml.safe_load(recipe.read_text())))
    assert [row.split() for row in rows] == [[f"{r.parameters:,}", f"{r.tokens:,}", f"{r.flops:.1e}"] for r in rungs]
    assert not (recipe.parent / "out").exists()
    fewer = call("scaling-law", "--config", recipe, "--plan", "--set", "budgets=[1e9]")
    assert [line.split() for line in fewer.out.splitlines()] == [line.split() for line in (head, *rows[:3])]


def test_stopped_early(call: Call, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, None)
    stopped = call("scaling-law", "--config", recipe, "--minutes", "0")
    assert stopped.code == 0 and "fitted" not in stopped.out and not list(recipe.parent.rglob("*.png"))


def test_the_laws_behind_the_losses(call: Call, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses computed from a law whose compute-optimal size grows by sqrt(C); each budget's best lies within the sizes."""

    def loss(n: int, flops: float) -> float:
        return 1.5 + 20 / n**0.3 + 20 / (flops / n / 6) ** 0.3

    results = [RungResult(n, int(flops / n / 6), flops, loss(n, flops)) for flops in (6e9, 2e10, 6e10) for n in SIZES]
    measured(monkeypatch, results)
    (recipe.parent / "out").mkdir()
    done = call("scaling-law", "--config", recipe)
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines() if line.startswith(("alpha", "beta", "E ")))
    assert done.code == 0 and {*lines} == {"E", "alpha", "beta"}
    assert math.isclose(float(lines["alpha"].split()[0]), 0.3, abs_tol=0.05), done.out
    assert "best size of each budget" in done.out and "6.0e+09" in done.out
    assert "by the law it grows to the power of 0.5" in done.out
    assert (recipe.parent / "out" / "scaling-law.png").read_bytes().startswith(b"\x89PNG")


def test_a_best_size_at_the_edge_is_reported(call: Call, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, [RungResult(n, 10**6, 1e9, 2 + 30 / n**0.25) for n in SIZES])
    (recipe.parent / "out").mkdir()
    done = call("scaling-law", "--config", recipe)
    assert done.code == 0 and "L(N) = E + A / N^alpha, at this budget" in done.out and "beta" not in done.out
    assert "the largest size was best (300,000)" in done.err and "add a size beyond it" in done.err
    assert "it grows with" not in done.out
