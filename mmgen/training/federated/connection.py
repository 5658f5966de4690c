"""A client's side of the connection: asks the server for work, does it, and brings the answer, until the run is over."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmgen.errors import BadRequest, MmgenError, NotFound, Unauthorized, Unreachable
from mmgen.training.federated.messages import Message, decode

log = logging.getLogger(__name__)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
MAX_BYTES = 2**33
"""Of a question."""


class ServerConnection:
    """To the server at `https://HOST:PORT`, as the client whose token it is."""

    def __init__(self, address: str, token: str, digest: str, ca: Path | None = None, patience: float = 300.0) -> None:
        """`ca`: the certificate to trust, PEM; None: those of the system. `patience`: seconds for which a server that does not
        answer is tried again. Raises BadRequest for an address in the clear but this machine's, NotFound for no `ca`."""
        import httpcore

        parts = urlsplit(address)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise BadRequest(f"{address} is no address of a server; write https://HOST:PORT")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise BadRequest(f"{address} would send weights and the token in the clear; use https")
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as why:
            raise NotFound(f"the certificate {ca} cannot be read ({why}); give --ca a PEM file") from None
        self.address, self.patience = address.rstrip("/"), patience
        self._headers = [("Authorization", f"Bearer {token}"), ("X-Recipe", digest)]
        self._errors = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
        self._pool = httpcore.ConnectionPool(ssl_context=context, retries=0)

    def serve(self, handle: Callable[[Message], Message]) -> int:
        """Answers questions until the run is over -> how many. Raises Unauthorized, BadRequest, Unreachable."""
        with self._pool:
            return self._serve(handle)

    def _serve(self, handle: Callable[[Message], Message]) -> int:
        count = 0
        while True:
            status, headers, body = self._post("/next")
            if status == 410:
                return count
            if status == 204:
                continue
            if status != 200:
                raise (Unauthorized if status == 401 else BadRequest)(body[:300].decode(errors="replace"))
            question = decode(body)
            try:
                answer = handle(question)
            except MmgenError as why:
                log.warning("round %d: %s", question.round + 1, why)
                answer = Message("failed", question.round, {"why": str(why)})
            status, _, told = self._post(f"/answer/{headers['x-question']}", answer.encode())
            count += status == 200
            if status != 200:
                log.warning("round %d: the answer was not taken: %s", question.round + 1, told[:300].decode(errors="replace"))

    def _post(self, path: str, content: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Tried again while the server is away, or says that it is (5xx)."""
        until, wait = time.monotonic() + self.patience, 0.2
        while True:
            status, headers, body = self._once(path, content)
            if status < 500:
                return status, headers, body
            if time.monotonic() > until:
                told = body[:300].decode(errors="replace") or f"status {status}"
                raise Unreachable(f"{self.address} does not answer ({told}); start the server")
            time.sleep(wait)
            wait = min(5.0, 2 * wait)

    def _once(self, path: str, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status 599: there was no answer; the body says why."""
        limits = {"timeout": {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 10.0}}
        try:
            with self._pool.stream(
                "POST", self.address + path, headers=self._headers, content=content, extensions=limits
            ) as answer:
                headers: dict[str, str] = {key.decode().lower(): value.decode() for key, value in answer.headers}
                return answer.status, headers, self._read(answer)
        except self._errors as why:
            if "CERTIFICATE" in str(why).upper():
                raise BadRequest(f"{self.address} has a certificate that is not trusted ({why}); give its --ca") from None
            return 599, {}, (str(why) or type(why).__name__).encode()

    @staticmethod
    def _read(answer: Any) -> bytes:
        body = bytearray()
        for part in answer.iter_stream():
            body += part
            if len(body) > MAX_BYTES:
                raise BadRequest(f"the server's message is over {MAX_BYTES:,} bytes")
        return bytes(body)
