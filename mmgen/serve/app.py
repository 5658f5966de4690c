"""The application: which routers there are, and what they share. The one place of serve/ that wires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from mmgen import __version__
from mmgen.serve.live import Live
from mmgen.serve.settings import ServeConfig

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


def create_app(rt: Runtime, settings: ServeConfig | None = None) -> FastAPI:
    """The API over that runtime, which the caller closes."""
    settings = settings or ServeConfig()
    app = FastAPI(title="mmgen", version=__version__)
    app.state.rt, app.state.settings, app.state.live, app.state.history = rt, settings, Live(settings.max_requests), None
    return app
