"""`mmgen web`: runs the web UI until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Annotated

import typer


def web(
    port: Annotated[int, typer.Option(help="Where it listens.", min=1, max=65535)] = 7860,
    store: Annotated[str | None, typer.Option("--store", "-s", help="Name of the store that Ask reads, or a path.")] = None,
    model: Annotated[str | None, typer.Option(help="What draws: embedded:NAME, a folder or a repo id.")] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Ask your documents and draw images in a browser. The page is for this machine alone; Ctrl-C ends it."""
    from mmgen.runtime import Runtime

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a service is stopped
    with Runtime() as rt:
        page, address = front_end().serve(rt, port=port, open_browser=open_browser, store=store, model=model)
        typer.echo(f"{address.rstrip('/')} - Ctrl-C ends it")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:  # how a server is meant to end
            page.close(verbose=False)
            rt.close(drain=False)


def front_end() -> ModuleType:
    """apps/web.py: inside the package in a wheel, beside it in a checkout."""
    inside = "mmgen.apps.web" if find_spec("mmgen.apps") else "apps.web"
    return import_module(inside)
