"""The log: one line a record in JSON, and the id of the request wherever it is known."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from mmgen.serve.telemetry import logs

if TYPE_CHECKING:
    from fastapi import FastAPI


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leaves the process's logging as it was."""
    root, ours = logging.getLogger(), logging.getLogger("mmgen")
    before = root.handlers[:], root.level, ours.level
    root.handlers[:] = []
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    ours.setLevel(own)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    log = logging.getLogger("mmgen.test")
    log.info("two\nlines, half of a pair: \ud800", extra={"request": "abc"})
    token = logs.request_id.set("def")
    try:
        log.warning("%d", 1)
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    finally:
        logs.request_id.reset(token)
    log.debug("not told")
    logging.getLogger("another").info("not told")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "logger": "mmgen.test", "message": "two\nlines, half of a pair: ?", "request": "abc"}
    assert (second["request"], second["message"]) == ("def", "1")
    assert third["error"].startswith("Traceback") and third["error"].endswith("ValueError: why")


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "warning")
    log = logging.getLogger("mmgen.test")
    log.warning("a", extra={"request": "abc"})
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("b")
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert first.endswith("+00:00 WARNING mmgen.test [abc]: a") and second.endswith("ERROR mmgen.test: b")
    assert last == "ValueError: why"


def test_a_line_for_each_call(make_app: "Callable[..., FastAPI]", capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    with TestClient(make_app(), base_url="http://localhost") as client:
        answer = client.post("/v1/completions?key=secret", json={"model": "tiny", "prompt": "a", "max_tokens": 1})
        client.get("/v1/requests/a%0Ab")
        client.get("/healthz")
    done, other = (json.loads(line) for line in capsys.readouterr().err.splitlines() if "mmgen.serve.access" in line)
    assert done["message"].startswith("POST /v1/completions 200 ") and done["request"] == answer.headers["x-request-id"]
    assert other["message"].startswith(r"GET /v1/requests/a\nb 404 ") and "request" not in other
    logs.configure("text", "warning")
    with TestClient(make_app(), base_url="http://localhost") as client:
        client.get("/healthz")
    assert capsys.readouterr().err == ""


def test_what_a_worker_says_has_the_requests_id(
    make_app: "Callable[..., FastAPI]", capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmgen.pipelines.language import text_pipeline

    made = text_pipeline.Clock

    def telling() -> object:
        logging.getLogger("mmgen.test").warning("working")
        return made()

    monkeypatch.setattr(text_pipeline, "Clock", telling)
    logs.configure("json", "warning")
    with TestClient(make_app(), base_url="http://localhost") as client:
        answer = client.post("/v1/completions", json={"model": "tiny", "prompt": "a", "max_tokens": 1})
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["request"] == answer.headers["x-request-id"]
