"""`mmgen serve`: runs the HTTP server until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Access from other machines needs 0.0.0.0 and API keys.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; default 8000.", min=1, max=65535)] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Additional model: NAME=FOLDER, a folder or a repo id. Repeatable."),
    ] = None,
    store: Annotated[str | None, typer.Option("--store", "-s", help="Name or path of the web UI's store.")] = None,
    ui: Annotated[bool, typer.Option("--ui", help="Also serve the web UI at /ui.")] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with these and further settings.")] = None,
    cors: Annotated[list[str] | None, typer.Option(help="Allowed CORS origin. Repeatable.")] = None,
    history: Annotated[
        bool | None, typer.Option("--history/--no-history", help="Save requests and answers in the history.")
    ] = None,
) -> None:
    """An OpenAI-compatible server: chat, embeddings, images, documents. Without API keys it serves this machine only."""
    from mmgen.runtime import Runtime

    told = {"host": host, "port": port, "models": model, "cors": cors, "history": history}
    settings = read({key: value for key, value in told.items() if value is not None}, config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service manager stops it
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
    """Settings from the file, overridden by command line options."""
    from mmgen.config import load

    kind = import_module("mmgen.serve.settings").ServeConfig
    return load({**load({} if config is None else config, kind).model_dump(), **told}, kind)


def add_page(app: Any, rt: Any, store: str | None) -> None:
    """Mounts the web UI at /ui and redirects / to it. Imports Gradio."""
    from mmgen.cli.web import front_end

    history = app.state.history
    front_end().mount(app, rt, "/ui", store=store, history=history, keep=history is not None)
    redirect = import_module("fastapi.responses").RedirectResponse
    app.add_api_route("/", lambda: redirect("/ui/"), include_in_schema=False)
