"""An engine that sends faster than its client reads waits for it."""

import asyncio
import socket
import threading
from contextlib import aclosing, suppress

from mmgen.serve.engines.http_stream import AHEAD, HttpEndpoint, HttpExchange


def test_a_slow_client_holds_few_pieces() -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            while True:
                connection.sendall(b"x" * 2**16)

    async def read(endpoint: HttpEndpoint) -> None:
        exchange, read = HttpExchange(), 0
        async with aclosing(endpoint.post(exchange, "/x", b"{}", 10.0)) as pieces:  # type: ignore[type-var]
            async for _ in pieces:
                read += 1
                if read == 2:
                    await asyncio.sleep(0.1)
                assert exchange.pieces.qsize() <= AHEAD + 1
                if read > 3 * AHEAD:
                    break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        endpoint = HttpEndpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", {}, 1)
        asyncio.run(asyncio.wait_for(read(endpoint), 30))
        thread.join(20)
        assert not thread.is_alive(), "it sees that nobody reads on"
        endpoint.close()
