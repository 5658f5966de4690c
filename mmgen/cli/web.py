"""`mmgen web`: runs the web UI until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Annotated

import typer


def web(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 7860,
    store: Annotated[str | None, typer.Option("--store", "-s", help="Name or path of the store to search.")] = None,
    model: Annotated[str | None, typer.Option(help="Text-to-image model: embedded:NAME, a folder or a repo id.")] = None,
    mcp: Annotated[
        list[str] | None,
        typer.Option(help="A Model Context Protocol server, as a URL or a command; can be given several times."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """The web UI: ask documents, generate text and images, search images. Serves this machine only; Ctrl-C ends it."""
    from mmgen.cli.pull import pull
    from mmgen.pipelines.agent.mcp_tools import McpConnections
    from mmgen.runtime import Runtime

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service manager stops it
    with Runtime() as rt, closing(McpConnections(mcp or ())) as servers:
        servers.tools()  # a server that does not answer is told here
        options = {"store": store, "model": model, "pull": pull, "mcp": servers}
        page, address = front_end().serve(rt, port=port, open_browser=open_browser, **options)
        typer.echo(f"{address.rstrip('/')} - Ctrl-C ends it")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:  # the regular way to stop
            page.close(verbose=False)
            rt.close(drain=False)


def front_end() -> ModuleType:
    """The apps.web module: inside the package in a wheel, beside it in a checkout."""
    inside = "mmgen.apps.web" if find_spec("mmgen.apps") else "apps.web"
    return import_module(inside)
