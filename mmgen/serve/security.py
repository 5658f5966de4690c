"""Middleware before every route: security headers, origins, keys and rate limits; bodies are read by mmgen.serve.wire."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from mmgen.errors import BadRequest
from mmgen.serve import errors
from mmgen.serve.auth import Auth, is_api
from mmgen.serve.rate_limit import RateLimit, TokenBuckets
from mmgen.serve.settings import ServeConfig
from mmgen.serve.wire.bodies import BodyLimit
from mmgen.stores.keys import KeyStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",  # text from documents is never taken for HTML
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ANSWER = "default-src 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of what the API answers: nothing in it is ever run or shown as a page."""
PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""That of the page: Gradio writes scripts into it, its plots compile expressions; but nothing comes from or goes to others."""
EXPOSED = ("x-request-id", "retry-after", *(f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")))


def secure(app: FastAPI, settings: ServeConfig, keys: KeyStore, token: str = "") -> None:
    """Puts all this before the application; to be called when all else has been added. `token`: as of `Auth`.

    Raises BadRequest where it would serve other machines and there are no keys.
    """
    check_host(settings.host, keys)

    def set_weight(user: str, weight: float) -> None:
        app.state.rt.engine.set_weight(user, weight)

    app.add_middleware(BodyLimit, most=int(settings.max_body))
    app.state.rates = TokenBuckets()
    app.add_middleware(RateLimit, limits=app.state.rates)
    app.add_middleware(Auth, keys=keys, set_weight=set_weight, origins=settings.cors, token=token)
    if settings.cors:
        methods, asked = ("GET", "POST", "DELETE"), ("Authorization", "Content-Type")
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors, allow_methods=methods, allow_headers=asked, expose_headers=EXPOSED
        )
    app.add_middleware(SecurityHeaders)


def check_host(host: str, keys: KeyStore) -> None:
    """Raises BadRequest for an address that other machines reach, where there are no keys."""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here and not keys.any():
        raise BadRequest(f"host {host} is for other machines too, and there are no keys; make one first: mmgen keys add NAME")


class SecurityHeaders:
    """Adds the headers that tell browsers what not to do, to every answer: also to that of a fault of ours, which it makes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def shield(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Content-Security-Policy"] = ANSWER if is_api(scope["path"]) else PAGE
            await send(message)

        try:
            await self.app(scope, receive, shield if scope["type"] == "http" else send)
        except Exception:
            if scope["type"] == "http" and not began:
                await JSONResponse(errors.body(errors.FAILED, 500, "server_error"), 500)(scope, receive, shield)
            raise  # the server logs it
