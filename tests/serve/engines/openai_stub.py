"""A server that answers as vLLM 0.33 or SGLang 0.5.23 does: streams with log probabilities, aborts on hang-up.

SGLang gives no token ids, no /metrics unless it is started with --enable-metrics, and errors without an `error` around them.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

METRICS = "# HELP vllm:num_requests_running Requests.\n# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 1.0\n"


class EngineStub:
    """`asked`: bodies as they came; `deaths`: answers that break off from now on; `aborted`: clients that hung up."""

    def __init__(self, model: str = "big/model", key: str = "", sglang: bool = False) -> None:
        self.model, self.key, self.pause, self.sglang = model, key, 0.0, sglang
        self.asked, self.deaths, self.aborted = list[dict[str, Any]](), 0, 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                if stub.key and self.headers.get("Authorization") != f"Bearer {stub.key}":
                    self.answer(401, "{}")
                elif self.path == "/v1/models":
                    self.answer(200, json.dumps({"object": "list", "data": [{"id": stub.model, "object": "model"}]}))
                elif stub.sglang:
                    self.answer(404, json.dumps({"detail": "Not Found"}))
                else:
                    self.answer(200, METRICS, "text/plain")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.asked.append(body)
                if body.get("temperature", 0) > 2:
                    told = {"message": "temperature is 3", "type": "BadRequestError", "param": None, "code": 400}
                    self.answer(400, json.dumps({"object": "error"} | told if stub.sglang else {"error": told}))
                elif body.get("stream"):
                    self.stream(body)
                else:
                    choice = {"index": 0, "text": " one two", "finish_reason": "length"} | self.ids(5, 6)
                    self.answer(200, json.dumps({"id": "c", "object": "text_completion", "choices": [choice]}))

            def stream(self, body: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with suppress(OSError):
                    for number in range(int(body.get("max_tokens", 4))):
                        if stub.deaths and number == 2:
                            stub.deaths -= 1
                            self.close_connection = True
                            self.connection.close()
                            return
                        logprobs = {"tokens": [f" {number}"], "token_logprobs": [-0.5 * number]}
                        choice = {"index": 0, "text": f" {number}", "logprobs": logprobs} | self.ids(number)
                        self.chunk("data: " + json.dumps({"id": "c", "choices": [choice]}) + "\n\n")
                        time.sleep(stub.pause)
                    self.chunk("data: [DONE]\n\n")
                    self.wfile.write(b"0\r\n\r\n")
                    return
                stub.aborted += 1

            def ids(self, *ids: int) -> dict[str, Any]:
                return {} if stub.sglang else {"token_ids": list(ids)}

            def chunk(self, text: str) -> None:
                self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
                self.wfile.flush()

            def answer(self, status: int, text: str, kind: str = "application/json") -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"


@contextmanager
def engine(**options: Any) -> Iterator[EngineStub]:
    stub = EngineStub(**options)
    thread = threading.Thread(target=stub.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield stub
    finally:
        stub.server.shutdown()
        stub.server.server_close()
        thread.join()
