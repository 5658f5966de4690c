"""Authentication: by API key, or, while no keys exist, only requests from this machine.

Without keys the threat is the user's own browser: any web page may send requests to localhost, or point its own domain name
at it (DNS rebinding). Such requests are refused by the Host and Origin headers, which a page cannot forge.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from mmgen.errors import Forbidden, MmgenError, Unauthorized
from mmgen.serve import errors
from mmgen.serve.context import Caller
from mmgen.stores.keys import ALL, SCOPES, ApiKey, KeyStore

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = ("/healthz", "/readyz")
"""Health checks need no key."""
API = re.compile(r"/(v1|api|sdapi|mcp|metrics|healthz|readyz|openapi\.json)(/.*)?", re.DOTALL)
"""All other paths belong to the web UI."""
HERE = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""A Host that no name server can make mean another machine's page."""
MOST_WAITING = 32
"""Queue limit of key verifications, which run one at a time: a brute-force attack uses one core at most."""


def is_api(path: str) -> bool:
    return API.fullmatch(path) is not None


def is_admin(path: str) -> bool:
    return re.fullmatch(r"/admin(/.*)?", path, re.DOTALL) is not None


class Auth:
    """Puts a Caller into `scope["state"]`, or refuses. Pure ASGI, so that streams and disconnects stay as they are."""

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyStore,
        set_weight: Callable[[str, float], None],
        origins: Sequence[str] = (),
        token: str = "",
    ) -> None:
        """`set_weight`: tells the engine a user's share. `origins`: of other sites whose pages may call. `token`: of the home's
        owner, see serve/port_file.py; empty for none."""
        self.app, self.keys, self.set_weight, self.origins = app, keys, set_weight, frozenset(origins)
        self._owner = f"Bearer {token}".encode() if token else None
        self._weights: dict[str, float] = {}
        self._prover = ThreadPoolExecutor(1, "mmgen-keys")
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._caller(scope["path"], Headers(scope=scope))
        except MmgenError as why:
            await self._refuse(why, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send)

    async def _caller(self, path: str, headers: Headers) -> Caller:
        """Raises Unauthorized, Forbidden, or Later."""
        said = headers.get("authorization", "").encode("utf-8", "surrogateescape")
        owner = self._owner is not None and hmac.compare_digest(said, self._owner)
        if owner or not self.keys.any():
            self._check_host(headers)
            self._check_origin(headers)
            return Caller(scopes=frozenset(SCOPES), owner=True) if owner else Caller()
        page = not is_api(path)
        if page:  # a browser sends its password along, whoever made it send something
            self._check_origin(headers)
        key = await self._key(_said(headers, path))
        if is_admin(path):
            if "admin" not in key.scopes:  # asked again: a browser may have sent another page's password
                raise Unauthorized("this page is for keys with scope admin (mmgen keys add NAME --scopes admin); give one")
        elif page and (key.stores is not None or not key.scopes.issuperset(ALL)):
            raise Forbidden("the page can do everything, so that its key must have all scopes and stores; use another key")
        if self._weights.get(key.name) != key.weight:
            self.set_weight(key.name, key.weight)
            self._weights[key.name] = key.weight
        return Caller(key.name, key.scopes, key.stores, key.rate)

    async def _key(self, text: str) -> ApiKey:
        if key := self.keys.recall(text):
            return key
        if self._waiting >= MOST_WAITING:
            raise errors.RetryLater("too many unknown keys are being looked at; try again later", 2.0)
        self._waiting += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._prover, self.keys.verify, text)
        finally:
            self._waiting -= 1
        if found is None:
            raise Unauthorized("this API key is unknown, revoked or expired; give another: Authorization: Bearer KEY")
        return found

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not HERE.fullmatch(hosts[0]):
            raise Forbidden(
                "without keys this server is for this machine alone, by the name localhost; make a key: mmgen keys add"
            )

    def _check_origin(self, headers: Headers) -> None:
        """A page of another site may send requests from a browser; it cannot hide where it comes from."""
        host = headers.get("host", "").lower()
        for origin in headers.getlist("origin"):
            if origin not in self.origins and urlsplit(origin).netloc.lower() != host:
                raise Forbidden("pages of other sites may not call this server; allow one with --cors")

    async def _refuse(self, why: MmgenError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = errors.response(why)
        if isinstance(why, Unauthorized) and not is_api(scope["path"]):
            realm = "mmgen admin" if is_admin(scope["path"]) else "mmgen"
            answer.headers["WWW-Authenticate"] = f'Basic realm="{realm}: any name, a key as the password", charset="UTF-8"'
        await answer(scope, receive, send)


def _said(headers: Headers, path: str) -> str:
    """The key that was sent: as a bearer token; by a browser that opens the page, and by clients of A1111, as the password; by
    Anthropic's as x-api-key."""
    scheme, _, said = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return said.strip()
    if (path.startswith("/v1/messages") or "anthropic-version" in headers) and (key := headers.get("x-api-key")):
        return key.strip()
    if (not is_api(path) or path.startswith("/sdapi/")) and scheme.lower() == "basic":
        try:
            return base64.b64decode(said).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise Unauthorized("there is no API key; send one: Authorization: Bearer KEY (make one with: mmgen keys add NAME)")
