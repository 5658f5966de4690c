"""Clients of an HTTP server, a thread each, in a process that imports nothing heavy: benchmarks/serve.py starts it.

Standard input: JSON {"port": ..., "seconds": ..., "clients": [[{"path", "body", "ends"}, ...], ...]}, each client's calls one
after another, over one connection; after so many seconds, where it is said, none is begun any more. `ends`: what the last event
of a stream holds; "[DONE]" where it is not said.
Standard output: a list a client of {"status", "first", "seconds", "events", "done", "bytes", "answer"}.
"""

import http.client
import json
import re
import sys
import threading
import time
from typing import Any

ERROR = re.compile(rb'"error":\s*(?!null)')
STREAMS = ("event-stream", "ndjson")


def call(connection: http.client.HTTPConnection, path: str, body: dict[str, Any], ends: str = "[DONE]") -> dict[str, Any]:
    began = time.perf_counter()
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "anthropic-version": "2023-06-01"})
    response = connection.getresponse()
    data, first = b"", None
    while part := response.read1(65536):
        first = first or time.perf_counter() - began
        data += part
    seconds = time.perf_counter() - began
    response.close()  # the connection takes the next call
    streamed = any(kind in response.headers.get("content-type", "") for kind in STREAMS)
    done = ends.encode() in data and not ERROR.search(data) if streamed else response.status == 200
    answer = None if streamed else json.loads(data)
    if isinstance(answer, dict) and "data" in answer:
        answer["data"] = len(answer["data"])  # vectors and images are not needed any more
    told = {"status": response.status, "first": first, "seconds": seconds, "events": data.count(b"data: {")}
    return {**told, "done": done, "bytes": len(data), "answer": answer}


def client(
    port: int, calls: list[dict[str, Any]], out: list[dict[str, Any]], opened: threading.Barrier, seconds: float
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", "/health")  # opened, and what a first request costs is paid
    connection.getresponse().read()
    opened.wait()
    until = time.monotonic() + seconds
    for one in calls:
        if time.monotonic() > until:
            break
        try:
            out.append(call(connection, **one))
        except Exception as why:
            connection.close()
            out.append({"status": 0, "done": False, "answer": repr(why)})


def main() -> None:
    plan = json.load(sys.stdin)
    results: list[list[dict[str, Any]]] = [[] for _ in plan["clients"]]
    opened = threading.Barrier(len(results))
    threads = [
        threading.Thread(target=client, args=(plan["port"], calls, out, opened, plan.get("seconds", float("inf"))))
        for calls, out in zip(plan["clients"], results, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
