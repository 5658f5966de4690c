"""`mmgen serve`: runs the HTTP server until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Where it listens. Other machines need 0.0.0.0, and keys.")] = None,
    port: Annotated[int | None, typer.Option(help="8000 if nothing is said.", min=1, max=65535)] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="One more model: NAME=FOLDER, a folder or a repo id. Repeatable.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", "-s", help="Name of the store that the page reads, or a path.")
    ] = None,
    ui: Annotated[bool, typer.Option("--ui", help="The page for browsers too, at /ui.")] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML with these settings and more.")] = None,
    cors: Annotated[list[str] | None, typer.Option(help="An origin whose pages may call. Repeatable.")] = None,
    history: Annotated[bool | None, typer.Option("--history/--no-history", help="Keep requests and answers.")] = None,
) -> None:
    """An OpenAI-compatible server: chat, embeddings, images, documents. Without keys it is for this machine alone."""
    from mmgen.runtime import Runtime

    told = {"host": host, "port": port, "models": model, "cors": cors, "history": history}
    settings = read({key: value for key, value in told.items() if value is not None}, config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a service is stopped
    running = import_module("mmgen.serve.http_server")
    with Runtime() as rt:
        app = import_module("mmgen.serve.app").create_app(rt, settings)
        listener = running.listen(settings.host, settings.port)
        address = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
        if ui:
            add_page(app, rt, store)
            typer.echo(f"{address}/ui")
        alone = "" if app.state.keys.any() else "for this machine alone, as there are no keys (mmgen keys add NAME); "
        typer.echo(f"{address}/v1 - {alone}Ctrl-C ends it")
        with suppress(KeyboardInterrupt):  # how a server is meant to end; uvicorn has drained it by now
            running.server(app).run(sockets=[listener])
        rt.close(drain=False)


def read(told: dict[str, Any], config: Path | None) -> Any:
    """The settings: of the file, and over them what the command line says."""
    from mmgen.config import load

    kind = import_module("mmgen.serve.settings").ServeConfig
    return load({**load({} if config is None else config, kind).model_dump(), **told}, kind)


def add_page(app: Any, rt: Any, store: str | None) -> None:
    """The page at /ui, and / leads there. Gradio is imported for this alone."""
    from mmgen.cli.web import front_end

    history = app.state.history
    front_end().mount(app, rt, "/ui", store=store, history=history, keep=history is not None)
    redirect = import_module("fastapi.responses").RedirectResponse
    app.add_api_route("/", lambda: redirect("/ui/"), include_in_schema=False)
