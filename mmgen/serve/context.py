"""The dependency that routes receive: the caller, its permissions and the shared application state."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from fastapi import Request as HttpRequest

from mmgen.engine.job import Priority, Request
from mmgen.errors import BadRequest, Forbidden, MmgenError
from mmgen.serve.telemetry import logs
from mmgen.stores.keys import ALL, STORE, RateSpec

if TYPE_CHECKING:
    from mmgen.runtime import Runtime
    from mmgen.serve.request_tracker import RequestTracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """The authenticated caller, made by `serve/auth.py`; without keys everybody is "local" with all scopes but admin."""

    user: str = "local"  # the scheduler's user
    scopes: frozenset[str] = frozenset(ALL)
    stores: frozenset[str] | None = None  # names; None: all
    rate: RateSpec | None = None  # rate limit; None: unlimited
    owner: bool = False  # whether it proved to be the owner of the home, see serve/port_file.py

    def check(self, scope: str, store: str | None = None) -> None:
        """Raises Forbidden for a missing scope or store, BadRequest for a store that is not a bare name."""
        if scope not in self.scopes:
            raise Forbidden(
                f'this key is not for "{scope}" (it is for {", ".join(sorted(self.scopes)) or "nothing"}); use another'
            )
        if store is not None and not STORE.fullmatch(store):
            raise BadRequest(f"store {store[:100]!r} is no name; give a bare one such as notes, not a path")
        if store is not None and self.stores is not None and store not in self.stores:
            raise Forbidden(f'this key may not use store "{store}"; use another key or another store')


@dataclass(frozen=True)
class Context:
    """A route's dependency, declared as `context: Here`."""

    http: HttpRequest
    rt: Runtime
    caller: Caller
    tracker: RequestTracker

    def begin(self, kind: str, scope: str, priority: Priority = "normal", store: str | None = None) -> Request:
        """Registers the engine request of this call; it is cancelled if the client disconnects.

        kind: the pipeline's name, for lists and history. Raises Forbidden, or Busy where too many are under way.
        """
        self.caller.check(scope, store)
        request = self.tracker.begin(kind, self.caller.user, priority)
        self.http.state.request_id = request.id
        logs.request_id.set(request.id)
        return request

    def model(self, name: str | None, kind: str) -> str:
        """The reference of a model that a client names; None: the default.

        kind: text, encoder, denoiser or reader. Raises UnknownModel, or BadRequest for one of another kind.
        """
        found: str = self.http.app.state.catalog.find(name, kind)
        state = self.http.state
        state.models = [*getattr(state, "models", ()), name or found]  # for the audit log
        return found

    def reranker(self, name: str | None) -> str | None:
        """What a client names to order passages: a reranker of the registry, or the reference of a served cross-encoder."""
        return name if name is None or name in self.rt.registry.rerankers else self.model(name, "cross-encoder")

    def keep(
        self,
        request: Request,
        asked: Mapping[str, Any],
        result: Mapping[str, Any],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Saves a finished call in the user's history, if enabled. `files`: name to bytes, such as images.

        The answer does not depend on it: what cannot be written is told in the log.
        """
        history = self.http.app.state.history
        if history is None:
            return
        try:
            history.add(self.caller.user, request.id, self.tracker.kind(request.id), asked, result, files)
        except MmgenError as why:
            log.warning("not in the history: %s", why)


def context(request: HttpRequest) -> Context:
    state = request.app.state
    return Context(request, state.rt, getattr(request.state, "caller", Caller()), state.tracker)


async def here(request: HttpRequest) -> Context:
    """`context` as a coroutine: FastAPI runs plain functions in a thread."""
    return context(request)


Here = Annotated[Context, Depends(here)]
