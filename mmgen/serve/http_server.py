"""Runs the application with uvicorn; on a signal it refuses new work and drains running requests."""

from __future__ import annotations

import math
import socket
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI

from mmgen.errors import BadRequest
from mmgen.serve.wire.head_limit import BoundedProtocol

if TYPE_CHECKING:
    from mmgen.serve.wire.tls import ServerCertificate

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Raises BadRequest for an unavailable address. Port 0: any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as why:
        raise BadRequest(f"{host} port {port} cannot be had ({why.strerror}); choose another --port or --host") from None
    # asyncio does so only for connections it opened the door for; without it an answer waits 40 ms for an acknowledgement
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Server(uvicorn.Server):
    """Answers 503 to new requests from the first signal on, also over connections that are open."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        application: FastAPI = self.config.app  # type: ignore[assignment]
        application.state.tracker.close()
        super().handle_exit(sig, frame)


def server(app: FastAPI, certificate: ServerCertificate | None = None) -> Server:
    """Its connections get the settings' `drain_s` when it ends; `run(sockets=[...])` starts it.

    With a certificate it speaks TLS.
    """
    drain = math.ceil(app.state.settings.drain_s)
    return Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            log_level="warning",
            access_log=False,
            log_config=None,  # telemetry/logs.py
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=drain,
            **({} if certificate is None else certificate.options()),
        )
    )
