"""`mmgen scaling-law`: a ladder of small models, and what their losses say of larger ones."""

from __future__ import annotations

from typing import Annotated

import typer

from mmgen.cli.output import print_columns
from mmgen.cli.train import Config, Data, Minutes, Out, Values, read, report


def scaling_law(
    config: Config,
    data: Data = None,
    out: Out = None,
    minutes: Minutes = None,
    set_: Values = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be trained, and stop.")] = False,
) -> None:
    """Trains a ladder of small models on budgets of computing and fits L(N) and L(N, D); Hoffmann et al. 2022."""
    from mmgen.training import power_laws
    from mmgen.training import scaling_law as recipe_module

    recipe = read(config, recipe_module.ScalingRecipe, data, out, set_)
    if plan:
        rungs = recipe_module.ladder(recipe)
        print_columns(
            ("parameters", "tokens", "FLOPs"), [(f"{r.parameters:,}", f"{r.tokens:,}", f"{r.flops:.1e}") for r in rungs]
        )
        return
    results = recipe_module.climb(recipe, typer.echo, stop_after_minutes=minutes)
    if not report(results is not None, recipe.out) or results is None:
        return
    of_n, both = recipe_module.laws(results)
    for title, found in (("L(N) = E + A / N^alpha", of_n), ("L(N, D) = E + A / N^alpha + B / D^beta", both)):
        if found is not None:
            typer.echo(f"\n{title}")
            print_columns(("", "fitted", "95 % of refits"), power_laws.table(found))
    if both is not None:
        typer.echo(f"\nbest size grows with computing to the power of {both.law.best_share():.2f}")
    recipe_module.plot(results, both, recipe.out / "scaling-law.png")
    typer.echo(f"plot: {recipe.out / 'scaling-law.png'}")
