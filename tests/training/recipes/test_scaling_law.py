"""The ladder at its smallest: planned by budget, stopped and gone on with, told as laws."""

import math
from pathlib import Path
from typing import Any

import pytest
import tiny_corpus
import yaml

from mmgen.cli.commands import load
from mmgen.config import load as load_config
from mmgen.training.recipes import scaling_law
from mmgen.training.recipes.scaling_law import RungResult, ScalingRecipe

CONFIG = Path(__file__).parents[3] / "configs" / "train" / "scaling-law.yaml"


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    model = {**tiny_corpus.MODEL, "max_tokens": 16}
    recipe = {"model": model, "tokenizer": {"vocabulary": 300}, "held_out": 0.15, "batch": 2, "sample_tokens": 2}
    sizes = [{"hidden_size": width, "intermediate_size": 2 * width, "layers": 1} for width in (8, 16, 32)]
    return {
        "data": str(tiny_corpus.write(tmp_path / "data")), "out": str(tmp_path / "out"), "recipe": recipe, "sizes": sizes,
        "budgets": [2e6, 4e6],
    }  # fmt: skip


def test_budgets_buy_tokens(values: dict[str, Any]) -> None:
    rungs = scaling_law.ladder(ScalingRecipe(**{**values, "budgets": [4e9, 2e9]}))
    assert [rung.flops for rung in rungs] == [2e9] * 3 + [4e9] * 3
    assert rungs[0].tokens > rungs[1].tokens > rungs[2].tokens and rungs[0].parameters < rungs[2].parameters
    assert rungs[3].tokens == pytest.approx(2 * rungs[0].tokens, rel=0.01)
    assert rungs[0].tokens % (2 * 16) == 0


def test_trained_in_two_goes(values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling_law.run_ladder(ScalingRecipe(**values), print, stop_after_minutes=0) is None
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values))
    load("scaling-law").main(["--config", str(tmp_path / "recipe.yaml")], standalone_mode=False)
    said = capsys.readouterr().out
    assert "L(N, D) = E + A / N^alpha + B / D^beta" in said and "\nbeta" in said
    assert (tmp_path / "out" / "scaling-law.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "out").glob("*/result.json"))) == 6 and len(list((tmp_path / "out").glob("tokens-*"))) == 1


def test_one_budget_tells_no_law_of_tokens() -> None:
    results = [RungResult(n, 10**6, 1e9, 2 + 30 / n**0.25) for n in (10**4, 10**5, 10**6, 10**7)]
    of_n, both = scaling_law.fit_laws(results)
    assert of_n is not None and of_n.law.alpha == pytest.approx(0.25, rel=0.1) and both is None


def test_the_best_size_of_a_budget_lies_between_its_neighbours() -> None:
    def loss(n: float, flops: float) -> float:  # the best is at a third of the budget's square root
        return 2 + (math.log(n) - math.log(flops**0.5 / 3)) ** 2

    sizes = [10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6]
    results = [RungResult(n, int(flops / n), flops, loss(n, flops)) for flops in (1e10, 1e11, 1e16) for n in sizes]
    best = scaling_law.best_sizes(results)
    assert [one.within for one in best] == [True, True, False] and best[2].parameters == 10**6
    assert best[0].parameters == pytest.approx(1e5 / 3) and best[1].loss == pytest.approx(2)
    assert scaling_law.optimal_size_exponent(best) == pytest.approx(0.5)
    assert scaling_law.optimal_size_exponent(best[1:]) is None


def test_shipped_recipe() -> None:
    rungs = scaling_law.ladder(load_config(CONFIG, ScalingRecipe))
    assert len(rungs) == 12 and sum(rung.flops for rung in rungs) < 1.3e14
    assert all(2 <= rung.tokens / rung.parameters <= 500 for rung in rungs)
