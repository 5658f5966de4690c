"""Trains a ladder of small language models at fixed compute budgets and fits power laws to their losses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mmgen.config import Config
from mmgen.models import transformer_config
from mmgen.models.lm.language_model import LanguageModel
from mmgen.training import throughput
from mmgen.training.recipes import language_model, power_laws
from mmgen.training.recipes.language_model import LanguageModelRecipe
from mmgen.training.recipes.power_laws import PowerLawFit


class ScalingRecipe(Config):
    """configs/train/scaling-law.yaml"""

    data: Path | None = None
    out: Path = Path("runs/scaling-law")
    recipe: dict[str, Any]  # of a language model, but for steps and what a size says
    sizes: tuple[dict[str, Any], ...] = Field(..., min_length=3)  # fields of the shape
    budgets: tuple[float, ...] = Field(..., min_length=1)  # FLOPs of a run
    tokens_per_parameter: tuple[float, float] = (0.0, math.inf)  # a size that a budget gives fewer or more tokens is left out
    unique_tokens: tuple[int, ...] = ()  # with the largest budget every size also repeats so many tokens, epoch after epoch
    resamples: int = Field(default=200, ge=0)  # refits that the intervals come from


@dataclass(frozen=True)
class Rung:
    """One training run of the ladder."""

    name: str
    parameters: int
    tokens: int
    flops: float
    recipe: LanguageModelRecipe

    def repeating(self, unique: int) -> Rung:
        """The same over fewer different tokens."""
        name = f"{self.name}-{unique}"
        values = {"unique_tokens": unique, "out": self.recipe.out.with_name(name)}
        return replace(self, name=name, recipe=self.recipe.model_copy(update=values))


@dataclass(frozen=True)
class RungResult:
    """Result of a run: loss on the held-out documents, in nats per token."""

    parameters: int
    tokens: int
    flops: float
    loss: float
    unique: int = 0  # different tokens, where it was kept to so many


def ladder(recipe: ScalingRecipe) -> list[Rung]:
    """Every size at every compute budget, cheapest first, with the tokens that the budget allows."""
    rungs, (least, most) = [], recipe.tokens_per_parameter
    for flops in sorted(recipe.budgets):
        for size in recipe.sizes:
            values = {**recipe.recipe, "data": recipe.data, "model": {**recipe.recipe.get("model", {}), **size}, "steps": 1}
            plain = LanguageModelRecipe(**values)
            config = transformer_config.load({**plain.model, "vocab_size": plain.tokenizer.vocabulary})
            row = plain.row or config.max_tokens
            steps = max(2, round(flops / throughput.flops_per_token(config, row) / plain.batch / row))
            parameters = sum(p.numel() for p in LanguageModel(config).parameters())
            if not least <= steps * plain.batch * row / parameters <= most:
                continue
            name = f"{parameters}-{flops:.0e}"
            values = {"steps": steps, "validate_every": steps, "out": recipe.out / name, "tokens": recipe.out}
            rungs.append(Rung(name, parameters, steps * plain.batch * row, flops, plain.model_copy(update=values)))
    longest = [rung for rung in rungs if rung.flops == max(recipe.budgets)]
    return rungs + [rung.repeating(unique) for unique in recipe.unique_tokens for rung in longest if rung.tokens > unique]


def run_ladder(
    recipe: ScalingRecipe, report: Callable[[str], None], *, stop_after_minutes: float | None = None
) -> list[RungResult] | None:
    """Trains the missing runs, each resumable; None if the time limit was reached first."""
    import time

    began, results = time.monotonic(), []
    for number, rung in enumerate(rungs := ladder(recipe), 1):
        done = rung.recipe.out / "result.json"
        if not done.is_file():
            report(f"{number} of {len(rungs)}: {rung.parameters:,} parameters, {rung.tokens:,} tokens, {rung.flops:.1e} FLOPs")
            left = None if stop_after_minutes is None else stop_after_minutes - (time.monotonic() - began) / 60
            if (left is not None and left <= 0) or not language_model.train(rung.recipe, stop_after_minutes=left):
                return None
            loss = json.loads((rung.recipe.out / "checkpoint" / "progress.json").read_text())["best"]
            unique = rung.recipe.unique_tokens
            done.write_text(json.dumps(asdict(RungResult(rung.parameters, rung.tokens, rung.flops, loss, unique))))
        results.append(RungResult(**json.loads(done.read_text())))
    return results


def fit_laws(results: list[RungResult], resamples: int = 200) -> tuple[PowerLawFit | None, PowerLawFit | None]:
    """L(N), of runs with one budget, or else L(N, D), whose first two terms are L(N) of endless data; None where the runs are
    too few for it. Runs that repeat their data are left out."""
    results = [one for one in results if not one.unique]
    if len({one.flops for one in results}) == 1:
        if len(results) < 3:
            return None, None
        return power_laws.fit([one.parameters for one in results], [one.loss for one in results], None, resamples), None
    if len(results) < 5:
        return None, None
    columns = zip(*((one.parameters, one.loss, one.tokens) for one in results), strict=True)
    parameters, loss, tokens = map(list, columns)
    return None, power_laws.fit(parameters, loss, tokens, resamples)


def repetition_decay(results: list[RungResult], both: PowerLawFit | None) -> float | None:
    """R* of `power_laws.effective_tokens`; None without a law of tokens, or runs that repeat them."""
    repeated = [one for one in results if one.unique]
    if both is None or not repeated:
        return None
    columns = zip(*((one.parameters, one.tokens, one.unique, one.loss) for one in repeated), strict=True)
    return power_laws.fit_decay(both.law, *map(list, columns))


@dataclass(frozen=True)
class OptimalSize:
    """The compute-optimal size of a budget: the minimum of a parabola through the best run and its neighbours, over the
    logarithm of the parameters; Hoffmann et al. 2022, 3.2."""

    flops: float
    parameters: float
    loss: float
    within: bool  # False: the smallest or largest size of the ladder was best, and the best may lie beyond it


def best_sizes(results: list[RungResult]) -> list[OptimalSize]:
    """One for each budget, the smallest first, of runs that repeat nothing."""
    results, found = [one for one in results if not one.unique], []
    for flops in sorted({one.flops for one in results}):
        runs = sorted((one for one in results if one.flops == flops), key=lambda one: one.parameters)
        place = min(range(len(runs)), key=lambda n: runs[n].loss)
        best = runs[place]
        if not 0 < place < len(runs) - 1:
            found.append(OptimalSize(flops, best.parameters, best.loss, False))
            continue
        near = runs[place - 1 : place + 2]
        curve = np.polynomial.Polynomial.fit([np.log(one.parameters) for one in near], [one.loss for one in near], 2)
        lowest = float(curve.deriv().roots()[0])
        found.append(OptimalSize(flops, float(np.exp(lowest)), float(curve(lowest)), True))
    return found


def optimal_size_exponent(best: list[OptimalSize]) -> float | None:
    """`a` of `N_best ~ C^a` by the best sizes themselves; None where fewer than two lie within the ladder."""
    within = [one for one in best if one.within]
    if len(within) < 2:
        return None
    return float(np.polyfit([np.log(one.flops) for one in within], [np.log(one.parameters) for one in within], 1)[0])


def plot(results: list[RungResult], both: PowerLawFit | None, path: Path) -> None:
    """Loss over parameters, a line for each budget, and the law through them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    results = [one for one in results if not one.unique]
    for number, flops in enumerate(sorted({one.flops for one in results})):
        runs = sorted((one for one in results if one.flops == flops), key=lambda one: one.parameters)
        sizes = np.array([one.parameters for one in runs], dtype=float)
        axes.plot(sizes, [one.loss for one in runs], "o", color=f"C{number}", label=f"{flops:.1e} FLOPs")
        if both is not None:
            tokens = np.array([one.tokens for one in runs], dtype=float)
            fine = np.geomspace(sizes[0], sizes[-1], 50)
            between = np.exp(np.interp(np.log(fine), np.log(sizes), np.log(tokens)))
            axes.plot(fine, both.law(fine, between), color=f"C{number}", linewidth=1)
    axes.set(xscale="log", xlabel="parameters", ylabel="nats a token, held out", title="loss at equal computing")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
