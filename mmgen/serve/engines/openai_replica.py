"""Another engine as a replica: a server with OpenAI's API, such as vLLM's or SGLang's, over HTTP.

Its scheduler batches; whose request goes there next is the router's decision, as for our own engines, by the device time that
its requests took. The engine tells none, so that it is measured here: see `shared_time`. Bodies travel as they came, with
their seeds, and answers come back as they are: token ids (`return_token_ids`) and log probabilities where the engine has them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from http.client import HTTPException
from typing import Any

from mmgen.errors import BadRequest, Cancelled, MmgenError, NotFound
from mmgen.serve import errors
from mmgen.serve.cluster.call import ForwardedCall, ReplicaLost, ReplicaMessage, ReplicaReport
from mmgen.serve.engines.answer_text import AnswerText
from mmgen.serve.engines.http_stream import HttpEndpoint, HttpExchange
from mmgen.serve.engines.shared_time import SharedTime

PATHS = {"/v1/chat/completions": "chat", "/v1/completions": "text", "/v1/embeddings": "embeddings"}
"""What an engine answers, and how the history calls it."""
GONE = (502, 503, 504)
"""Statuses that say that there is no engine any more behind its server."""
SILENT_S = 600.0
"""Seconds without a byte after which an engine counts as dead."""
AGAIN_S = 1.0
"""Between two attempts to reach one that is starting."""
METRICS_BYTES = 2**20


class OpenAIReplica:
    """Its process is somebody else's: `stop` leaves it running."""

    def __init__(self, name: str, endpoint: HttpEndpoint, models: frozenset[str]) -> None:
        self.name, self.endpoint, self.models = name, endpoint, models
        self.where = endpoint.base
        self._time = SharedTime()
        self._under_way: dict[str, HttpExchange] = {}
        self._cancelled: set[str] = set()
        self._stopped = False

    async def ready(self) -> None:
        """Waits until it answers: engines take minutes to start. Raises ReplicaLost where it lacks one of the models."""
        while True:
            try:
                there = await asyncio.to_thread(listed, self.endpoint)
                break
            except NotFound:
                await asyncio.sleep(AGAIN_S)
        if missing := sorted(self.models - there):
            raise ReplicaLost(
                f"the engine at {self.endpoint.base} serves {', '.join(sorted(there)) or 'nothing'}, not {missing[0]}; "
                "start it with that model, or correct `models`"
            )

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        kind = PATHS.get(call.path)
        if kind is None:
            why = BadRequest(f"{call.path} is not answered by the engine of this model; call {', '.join(PATHS)}")
            for message in _refused(why):
                yield message
            return
        exchange = self._under_way[call.id] = HttpExchange()
        said, began = AnswerText(), False
        self._time.begin(call.id)
        try:
            async for piece in self.endpoint.post(exchange, call.path.removeprefix("/v1"), call.body, SILENT_S):
                if not began:
                    if exchange.status in GONE:
                        raise ReplicaLost(f"the engine at {self.endpoint.base} answers {exchange.status}")
                    began = True
                    headers = ((b"content-type", exchange.kind.encode("latin-1", "replace")),)
                    yield ReplicaMessage("start", exchange.status, headers)
                if piece:
                    said.add(piece)
                    yield ReplicaMessage("body", body=piece)
        except (OSError, HTTPException) as why:
            raise ReplicaLost(_lost(self.endpoint, why)) from None
        finally:
            spent = self._time.end(call.id)
            self._under_way.pop(call.id, None)
            cancelled = call.id in self._cancelled
            self._cancelled.discard(call.id)
        if self._stopped:
            raise ReplicaLost(f"{self.name} was stopped")
        if cancelled:
            for message in _refused(Cancelled(f"request {call.id} was cancelled"), spent, exchange.kind if began else None):
                yield message
            return
        error = said.error() if exchange.status >= 400 else ""
        yield ReplicaMessage("end", device_ms=spent, error=error, kept=[] if error else [_entry(kind, call, said)])

    async def cancel(self, id: str) -> None:
        """vLLM and SGLang abort a request whose client has gone."""
        if (exchange := self._under_way.get(id)) is not None:
            self._cancelled.add(id)
            exchange.close()

    async def report(self) -> ReplicaReport:
        def asked() -> tuple[int, bytes]:
            try:
                listed(self.endpoint)
                return self.endpoint.get("/metrics")
            except NotFound as why:
                raise ReplicaLost(str(why)) from None
            except (OSError, HTTPException):
                return 404, b""

        status, text = await asyncio.to_thread(asked)
        metrics = text[:METRICS_BYTES].decode("utf-8", "replace") if status == 200 and len(text) <= METRICS_BYTES else ""
        return ReplicaReport(dict.fromkeys(self.models, 0), metrics=metrics)

    async def stop(self) -> None:
        self._stopped = True
        for exchange in list(self._under_way.values()):
            exchange.close()
        self.endpoint.close()


def listed(endpoint: HttpEndpoint) -> frozenset[str]:
    """The models that an engine serves. Raises NotFound where none answers."""
    try:
        status, body = endpoint.get("models")
        if status == 200:
            return frozenset(str(one["id"]) for one in json.loads(body)["data"])
        told = f"it answers {status}" + (", which asks for a key: name its variable as key_env" if status in (401, 403) else "")
    except (OSError, HTTPException) as why:
        told = getattr(why, "strerror", None) or str(why) or type(why).__name__
    except (ValueError, KeyError, TypeError, RecursionError):
        told = "its /models is no list"
    raise NotFound(f"no engine answers at {endpoint.base} ({told}); start it there, such as: vllm serve MODEL --port 8000")


def _lost(endpoint: HttpEndpoint, why: Exception) -> str:
    told = getattr(why, "strerror", None) or str(why) or type(why).__name__
    return f"the engine at {endpoint.base} is gone ({told})"


def _refused(why: MmgenError, spent: float = 0.0, begun: str | None = None) -> list[ReplicaMessage]:
    """The rest of an answer that says so; `begun`: the Content-Type of what the client has had already, or None."""
    body, end = json.dumps(errors.error_body(why)).encode(), ReplicaMessage("end", device_ms=spent, error=str(why))
    if begun is None:
        start = ReplicaMessage("start", why.status, ((b"content-type", b"application/json"),))
        return [start, ReplicaMessage("body", body=body), end]
    event = b"data: " + body + b"\n\ndata: [DONE]\n\n"
    return [ReplicaMessage("body", body=event), end] if "event-stream" in begun else [end]


def _entry(kind: str, call: ForwardedCall, said: AnswerText) -> Mapping[str, Any]:
    """For the history: what was asked and what came, without images and the engine's numbers."""
    try:
        told = json.loads(call.body)
    except (ValueError, RecursionError):  # an engine may read what is no JSON
        told = None
    told = told if isinstance(told, dict) else {}
    asked = {key: told[key] for key in ("model", "messages", "prompt", "input", "seed") if key in told}
    messages = asked.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and isinstance(parts := message.get("content"), list):
            message["content"] = [part for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    return {"kind": kind, "asked": asked, "result": {} if kind == "embeddings" else {"texts": said.texts()}, "files": {}}
