"""`mmgen serve`: runs the HTTP server until Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.runtime import Runtime
    from mmgen.serve.cluster.fleet import Fleet
    from mmgen.serve.settings import ServeConfig


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
    ssl_certfile: Annotated[Path | None, typer.Option(help="Certificate for TLS: PEM, with its chain.")] = None,
    ssl_keyfile: Annotated[Path | None, typer.Option(help="Its private key: PEM, without a passphrase.")] = None,
    keys_file: Annotated[Path | None, typer.Option(help="YAML file of keys that hold from the start.")] = None,
    audit: Annotated[Path | None, typer.Option(help="Audit log: a file of JSON lines, one for each call.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json: how the log is written on stderr.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error; info: a line for each call.")] = None,
    otel: Annotated[str | None, typer.Option(help="OpenTelemetry collector for traces, such as http://localhost:4318.")] = None,
    ray: Annotated[
        str | None, typer.Option(help="Run models on a Ray cluster: HOST:PORT, auto, or local, which starts one here.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option(help="Devices of this machine, each with an engine of its own: cuda:0,cuda:1.")
    ] = None,
    history: Annotated[
        bool | None, typer.Option("--history/--no-history", help="Save requests and answers in the history.")
    ] = None,
) -> None:
    """An OpenAI-compatible server: chat, embeddings, images, documents. Without API keys it serves this machine only."""
    from mmgen.runtime import Runtime

    told = {
        "host": host, "port": port, "models": model, "cors": cors, "history": history, "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile, "audit": audit, "log_format": log_format, "log_level": log_level, "otel": otel,
        "keys_file": keys_file, "devices": None if devices is None else tuple(devices.split(",")),
    }  # fmt: skip
    settings = read({key: value for key, value in told.items() if value is not None}, config)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service manager stops it

    from mmgen.serve.app import create_app
    from mmgen.serve.http_server import listen, server
    from mmgen.serve.port_file import advertised
    from mmgen.serve.telemetry import logs
    from mmgen.serve.wire import tls

    logs.configure(settings.log_format, settings.log_level)
    certificate = tls.read(settings.ssl_certfile, settings.ssl_keyfile)
    if certificate is not None and certificate.trouble:
        typer.echo(certificate.trouble, err=True)
    with Runtime() as rt, ExitStack() as cleanup:
        fleet = cleanup.enter_context(ray_cluster(ray, rt, settings)) if ray is not None else None
        if settings.devices or settings.engines:
            fleet = cleanup.enter_context(engine_fleet(rt, settings, ray))
        app = create_app(rt, settings, fleet)
        listener = listen(settings.host, settings.port)
        scheme = "http" if certificate is None else "https"
        address = f"{scheme}://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{settings.port}"
        if ui:
            add_page(app, rt, store)
            typer.echo(f"{address}/ui")
        alone = "" if app.state.keys.any() else "for this machine alone, as there are no keys (mmgen keys add NAME); "
        typer.echo(f"{address}/v1 - {alone}Ctrl-C ends it")
        digest = "" if certificate is None else certificate.digest
        with suppress(KeyboardInterrupt), advertised(settings.host, settings.port, app.state.token, digest):
            # ends with a KeyboardInterrupt, as it is meant to; uvicorn has drained it then
            server(app, certificate).run(sockets=[listener])
        rt.close(drain=False)


def ray_cluster(address: str, rt: Runtime, settings: ServeConfig) -> AbstractContextManager[Fleet]:
    from mmgen.serve.cluster.ray_cluster import fleet

    return fleet(address, rt, settings)


def engine_fleet(rt: Runtime, settings: ServeConfig, ray: str | None) -> AbstractContextManager[Fleet]:
    """Raises BadRequest where Ray is asked for too."""
    from mmgen.serve.engines.engine_fleet import fleet

    if ray is not None:
        raise BadRequest("devices and engines are for a server without Ray; with --ray name groups in cluster.replicas")
    return fleet(rt, settings)


def read(told: dict[str, Any], config: Path | None) -> ServeConfig:
    """Settings from the file, overridden by command line options."""
    from mmgen.config import load
    from mmgen.serve.settings import ServeConfig

    return load({**load({} if config is None else config, ServeConfig).model_dump(), **told}, ServeConfig)


def add_page(app: Any, rt: Runtime, store: str | None) -> None:
    """Mounts the web UI at /ui and redirects / to it. Imports Gradio."""
    from fastapi.responses import RedirectResponse

    from mmgen.cli.web import front_end

    history = app.state.history
    front_end().mount(app, rt, "/ui", store=store, history=history, keep=history is not None)
    app.add_api_route("/", lambda: RedirectResponse("/ui/"), include_in_schema=False)
