"""A real server on a free port of the loopback interface, in a thread of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.serve.wire.tls import ServerCertificate


@contextmanager
def listening(app: "FastAPI", certificate: "ServerCertificate | None" = None) -> Iterator[str]:
    """The address of a real server on a free port, until the end of the block."""
    from mmgen.serve import http_server

    listener = http_server.listen("127.0.0.1", 0)
    server = http_server.server(app, certificate)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http{'s' * (certificate is not None)}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
