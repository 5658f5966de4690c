"""The ladder at its smallest: planned by budget, stopped and gone on with, told as laws."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_corpus
import yaml

from mmgen.cli.commands import load
from mmgen.config import load as load_config
from mmgen.training.recipes import power_laws, scaling_law
from mmgen.training.recipes.scaling_law import RungResult, ScalingRecipe
from mmgen.training.run_log import RunLog

CONFIG = Path(__file__).parents[3] / "configs" / "train" / "scaling-law.yaml"


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    model = {**tiny_corpus.MODEL, "max_tokens": 16}
    recipe = {"model": model, "tokenizer": {"vocabulary": 300}, "held_out": 0.15, "batch": 2, "sample_tokens": 2}
    sizes = [{"hidden_size": width, "intermediate_size": 2 * width, "layers": 1} for width in (8, 16, 32)]
    return {
        "data": str(tiny_corpus.write(tmp_path / "data")), "out": str(tmp_path / "out"), "recipe": recipe, "sizes": sizes,
        "budgets": [2e6, 4e6], "resamples": 5,
    }  # fmt: skip


def test_budgets_buy_tokens(values: dict[str, Any]) -> None:
    rungs = scaling_law.ladder(ScalingRecipe(**{**values, "budgets": [4e9, 2e9]}))
    assert [rung.flops for rung in rungs] == [2e9] * 3 + [4e9] * 3
    assert rungs[0].tokens > rungs[1].tokens > rungs[2].tokens and rungs[0].parameters < rungs[2].parameters
    assert rungs[3].tokens == pytest.approx(2 * rungs[0].tokens, rel=0.01)
    assert rungs[0].tokens % (2 * 16) == 0


def test_trained_in_two_goes(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunLog, "plot", lambda *_: None)  # each run's own, which takes most of the time
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


def test_repeated_tokens_count_for_less(values: dict[str, Any]) -> None:
    """Runs by a law with R* of 8 epochs tell these 8; and a ladder that repeats is planned behind the other."""
    law = power_laws.PowerLaw(2.0, 30, 0.25, 100, 0.3)
    results = []
    for n in (10**5, 10**6, 10**7):
        results += [RungResult(n, d, float(n * d), float(law(n, d))) for d in (10**6, 10**7, 10**8, 10**9)]
        for unique in (10**6, 4 * 10**6):
            worth = power_laws.effective_tokens(np.array(1e8), np.array(unique), 8.0)
            results.append(RungResult(n, 10**8, n * 1e8, float(law(n, worth)), unique))
    _, both = scaling_law.fit_laws(results, 0)
    assert both is not None and both.law.beta == pytest.approx(0.3, rel=0.05)
    assert scaling_law.repetition_decay(results, both) == pytest.approx(8, rel=0.1)
    assert scaling_law.repetition_decay(results[:2], both) is None
    assert power_laws.effective_tokens(np.array(50.0), np.array(100.0), 8.0) == 50, "less than an epoch repeats nothing"
    rungs = scaling_law.ladder(ScalingRecipe(**{**values, "unique_tokens": [40]}))
    assert [rung.recipe.unique_tokens for rung in rungs] == [0] * 6 + [40] * 3
    assert rungs[-1].recipe.out.name == rungs[-1].name == f"{rungs[5].name}-40" and rungs[-1].flops == 4e6


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
