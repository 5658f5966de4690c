"""`mmgen train federated-server` and `federated-client`: federated learning between machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.training.recipe_options import Config, Minutes, Out, Values, read, report


def server(
    config: Config,
    data: Annotated[Path, typer.Option(help="The server's own small data of the clients' form, to measure the model on.")],
    cert: Annotated[Path | None, typer.Option(help="Certificate for TLS, PEM; may go without only on the loopback.")] = None,
    key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 9092,
    tokens: Annotated[
        Path | None, typer.Option(help="Lines of NAME TOKEN; made for the recipe's clients if missing. Default: OUT/tokens.")
    ] = None,
    out: Out = None,
    minutes: Minutes = None,
    set_: Values = None,
) -> None:
    """The server of federated learning: clients come over HTTPS, and what they learned is averaged."""
    from mmgen.training.federated.recipe import FederatedRecipe
    from mmgen.training.recipes import federated

    recipe = read(config, FederatedRecipe, None, out, set_).model_copy(update={"sample": data})
    with federated.opened(recipe, host, port, tokens or recipe.out / "tokens", cert, key) as (address, fleet):
        typer.echo(f"clients come to {address}")
        if report(federated.serve(recipe, fleet, stop_after_minutes=minutes), recipe.out):
            typer.echo(f"model: {recipe.out / 'model'}")


def client(
    config: Config,
    data: Annotated[Path, typer.Option(help="This client's data, which stays here.")],
    server: Annotated[str, typer.Option(help="https://HOST:PORT of the server.")],
    token: Annotated[Path, typer.Option(help="A file with this client's line of the server's tokens.")],
    ca: Annotated[Path | None, typer.Option(help="The certificate to trust, PEM; default: those of the system.")] = None,
    out: Out = None,
    set_: Values = None,
) -> None:
    """A client of federated learning: trains on its own data until the server's run is over."""
    from mmgen.training.federated.recipe import FederatedRecipe
    from mmgen.training.recipes import federated

    recipe = read(config, FederatedRecipe, None, out, set_)
    typer.echo(f"{federated.take_part(recipe, data, server, token, ca)} answers were taken; the run is over")
