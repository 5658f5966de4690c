"""The server's side of clients in other processes: they come over HTTPS, ask for work, and bring answers."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.training.federated.fleets import Answers
from mmgen.training.federated.messages import Message, decode

if TYPE_CHECKING:
    import socket

    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)
POLL_S = 10.0
"""How long a request for work waits for some."""
AWAY_S = 60.0
"""After so long without a request, a client that has no question is not waited for."""
LATE = "late; it is asked again"


@dataclass
class OpenQuestion:
    """To one client."""

    id: str
    data: bytes
    round: int
    fetched: bool = False  # by the client
    answer: Message | str | None = None
    late: bool = False  # the deadline has passed


@dataclass
class ClientState:
    """What the server knows of one. Guarded by the fleet's condition."""

    seen: float | None = None  # time.monotonic of its last request
    question: OpenQuestion | None = None
    told: bool = False  # that the run is over


class NetworkFleet:
    """Starts answering requests at once, in a thread of its own."""

    def __init__(self, tokens: Mapping[str, str], digest: str, listener: socket.socket, seconds: float, **tls: Any) -> None:
        """`seconds`: until an answer is late; `tls`: uvicorn's ssl_certfile and ssl_keyfile."""
        import uvicorn
        from starlette.applications import Starlette
        from starlette.routing import Route

        self.names, self._tokens = sorted(tokens), dict(tokens)
        self._digest, self._seconds = digest, seconds
        self.max_bytes = 2**20  # of an answer
        self.finished = False  # no client is needed any more
        self._states = {name: ClientState() for name in self.names}
        self._changed = threading.Condition()
        self._over = self._leaving = False
        self._start, self._count = secrets.token_hex(4), 0
        routes = [Route("/next", self._next, methods=["POST"]), Route("/answer/{id}", self._answer, methods=["POST"])]
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="warning", access_log=False, log_config=None, server_header=False, ws="none",
            timeout_graceful_shutdown=2, lifespan="off", loop="asyncio", **tls,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, name="federated", daemon=True)
        self._thread.start()

    def wait_for(self, least: int) -> None:
        """Until so many clients have come."""
        with self._changed:
            if sum(state.seen is not None for state in self._states.values()) < least:
                log.warning("waiting for %d clients of %s", least, ", ".join(self.names))
            self._changed.wait_for(lambda: sum(state.seen is not None for state in self._states.values()) >= least)

    def ask(self, questions: Mapping[str, Message]) -> Answers:
        with self._changed:
            asked: dict[str, OpenQuestion] = {}
            found: Answers = {}
            for name, message in questions.items():
                state = self._states[name]
                if state.seen is None or (time.monotonic() - state.seen > AWAY_S and not self._busy(state)):
                    found[name] = "not connected"
                    continue
                self._count += 1
                state.question = asked[name] = OpenQuestion(f"{self._start}-{self._count}", message.encode(), message.round)
            self._changed.notify_all()
            self._changed.wait_for(lambda: all(one.answer is not None for one in asked.values()), self._seconds)
            for name, one in asked.items():
                found[name] = one.answer or (LATE if one.fetched else "it did not come for its work")
                one.late = one.answer is None
                if not one.fetched:
                    self._states[name].question = None
        return found

    def close(self) -> None:
        """Of a finished run it first tells the clients that are there, for a few seconds at most; others try again later."""
        if not self._thread.is_alive():
            return
        self._leaving = True
        if self.finished:
            with self._changed:
                self._over = True
                here = [state for state in self._states.values() if state.seen is not None]
                self._changed.wait_for(lambda: all(state.told for state in here), 5.0)
        self._server.should_exit = True
        self._thread.join(10.0)

    @staticmethod
    def _busy(state: ClientState) -> bool:
        return state.question is not None and state.question.fetched and state.question.answer is None

    def _client(self, request: Request) -> str | None:
        """Whose token it is."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        found = [name for name, token in self._tokens.items() if hmac.compare_digest(token.encode(), given)]
        return found[0] if found else None

    async def _next(self, request: Request) -> Response:
        """The client's open question; 204: none yet; 410: the run is over."""
        from starlette.responses import PlainTextResponse, Response

        name = self._client(request)
        if name is None:
            return PlainTextResponse("the token is unknown; take the line that the server's file has for this client", 401)
        if request.headers.get("x-recipe") != self._digest:
            return PlainTextResponse("the client has another recipe than the server; give both the same --config", 409)
        state, until = self._states[name], time.monotonic() + POLL_S
        while True:
            with self._changed:
                state.seen = time.monotonic()
                self._changed.notify_all()
                if self._over:
                    state.told = True
                    return PlainTextResponse("the run is over", 410)
                question = state.question
                if question is not None and question.answer is None and not question.late:
                    question.fetched = True
                    return Response(question.data, headers={"x-question": question.id})
            if self._leaving and not self.finished:
                return PlainTextResponse("the server stops for now; try again", 503)
            if time.monotonic() > until or await request.is_disconnected():
                return Response(status_code=204)
            await asyncio.sleep(0.05)

    async def _answer(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse

        name = self._client(request)
        if name is None:
            return PlainTextResponse("the token is unknown", 401)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self.max_bytes:
                return self._take(name, request.path_params["id"], f"its answer is over {self.max_bytes:,} bytes", 413)
        try:
            message: Message | str = decode(bytes(body))
        except BadRequest as why:
            return self._take(name, request.path_params["id"], str(why), 422)
        return self._take(name, request.path_params["id"], message, 200)

    def _take(self, name: str, question: str, answer: Message | str, status: int) -> Response:
        from starlette.responses import PlainTextResponse

        with self._changed:
            state = self._states[name]
            state.seen = time.monotonic()
            open_question = state.question
            if open_question is None or open_question.id != question or open_question.late or open_question.answer is not None:
                log.warning("an answer of %s came too late, and does not count", name)
                return PlainTextResponse("too late; ask again", 409)
            open_question.answer = answer
            self._changed.notify_all()
        return PlainTextResponse(answer if isinstance(answer, str) else "taken", status)
