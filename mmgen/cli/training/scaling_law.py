"""`mmgen scaling-law`: trains a ladder of small models and fits power laws to their losses."""

from __future__ import annotations

from typing import Annotated

import typer

from mmgen.cli.output import print_columns
from mmgen.cli.training.train import Config, Data, Minutes, Out, Values, read, report


def scaling_law(
    config: Config,
    data: Data = None,
    out: Out = None,
    minutes: Minutes = None,
    set_: Values = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be trained, and stop.")] = False,
) -> None:
    """Train a ladder of small models at fixed compute budgets and fit L(N) and L(N, D); Hoffmann et al. 2022."""
    from mmgen.training.recipes import power_laws
    from mmgen.training.recipes import scaling_law as recipe_module

    recipe = read(config, recipe_module.ScalingRecipe, data, out, set_)
    if plan:
        rungs = recipe_module.ladder(recipe)
        print_columns(
            ("parameters", "tokens", "FLOPs"), [(f"{r.parameters:,}", f"{r.tokens:,}", f"{r.flops:.1e}") for r in rungs]
        )
        return
    results = recipe_module.run_ladder(recipe, typer.echo, stop_after_minutes=minutes)
    if not report(results is not None, recipe.out) or results is None:
        return
    of_n, both = recipe_module.fit_laws(results, recipe.resamples)
    title = "L(N, D) = E + A / N^alpha + B / D^beta; L(N), of endless data, is its first two terms"
    for heading, found in (("L(N) = E + A / N^alpha, at this budget", of_n), (title, both)):
        if found is not None:
            typer.echo(f"\n{heading}")
            print_columns(("", "fitted", "95 % of refits"), power_laws.table(found))
    if (decay := recipe_module.repetition_decay(results, both)) is not None:
        typer.echo(f"\nrepeated tokens lose their worth after about {decay:.3g} epochs (R* of Muennighoff et al. 2023, eq. 5)")
    best = recipe_module.best_sizes(results)
    typer.echo("\nbest size of each budget")
    print_columns(("FLOPs", "parameters", "loss"), [(f"{b.flops:.1e}", f"{b.parameters:,.0f}", f"{b.loss:.3f}") for b in best])
    if (power := recipe_module.optimal_size_exponent(best)) is not None:
        typer.echo(f"it grows with computing to the power of {power:.2f}")
    if both is not None:
        typer.echo(f"by the law it grows to the power of {both.law.best_share():.2f}")
    for edge in (b for b in best if not b.within):
        typer.echo(
            f"of {edge.flops:.1e} FLOPs the {'smallest' if edge.parameters == results[0].parameters else 'largest'} size was "
            f"best ({edge.parameters:,.0f}): the exponents are uncertain; add a size beyond it",
            err=True,
        )
    recipe_module.plot(results, both, recipe.out / "scaling-law.png")
    typer.echo(f"plot: {recipe.out / 'scaling-law.png'}")
