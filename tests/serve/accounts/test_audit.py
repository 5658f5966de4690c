"""The audit log: who did what, with which outcome; no word of a prompt unless it is asked for."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from mmgen.errors import BadRequest
from mmgen.serve.accounts.audit import AuditLog
from mmgen.stores import keys as module

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

CALL = {"model": "tiny", "prompt": "a secret of mine", "max_tokens": 2}


@pytest.fixture
def make(
    served: "Runtime", make_app: "Callable[..., FastAPI]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "Callable[..., FastAPI]":
    """An application over a home of its own, whose audit log is audit.jsonl."""
    monkeypatch.setattr(module, "COST", 2**4)
    monkeypatch.setattr(served, "home", tmp_path / "home")
    return lambda **settings: make_app(audit=tmp_path / "audit.jsonl", **settings)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_who_what_and_what_became_of_it(make: "Callable[..., FastAPI]", tmp_path: Path) -> None:
    app = make()
    ann = {"Authorization": f"Bearer {app.state.keys.create('ann', scopes=('chat',))}"}
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        done = client.post("/v1/completions", json=CALL, headers=ann)
        client.post("/v1/completions", json={**CALL, "stream": True}, headers=ann)
        client.post("/v1/completions", json=CALL)
        client.post("/v1/completions", json={**CALL, "max_tokens": -1}, headers=ann)
        client.get("/v1/stores/notes?q=secret", headers=ann)
        client.get("/healthz")
        client.post("/ui/queue", json={"data": "secret"}, headers=ann)
        client.get("/ui/", headers=ann)
    whole, streamed, stranger, mistaken, other, page = lines(tmp_path / "audit.jsonl")
    assert whole.pop("device_seconds") > 0 and whole.pop("seconds") > 0 and whole.pop("time").endswith("+00:00")
    assert whole == {
        "user": "ann", "client": "testclient", "method": "POST", "path": "/v1/completions", "route": "/v1/completions",
        "models": ["tiny"], "status": 200, "request": done.headers["x-request-id"], "outcome": "done",
    }  # fmt: skip
    assert streamed["outcome"] == "done" and streamed["device_seconds"] > 0
    assert (stranger["user"], stranger["status"], stranger["outcome"]) == (None, 401, "refused")
    assert (mistaken["user"], mistaken["outcome"], mistaken["device_seconds"]) == ("ann", "refused", 0)
    assert (other["path"], other["status"]) == ("/v1/stores/notes", 403)
    assert page["path"] == "/ui/queue" and page["outcome"] == "refused"
    assert "secret" not in (tmp_path / "audit.jsonl").read_text()
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_prompts_where_they_are_asked_for(make: "Callable[..., FastAPI]", tmp_path: Path) -> None:
    with TestClient(make(audit_prompts=True), base_url="http://localhost") as client:
        client.post("/v1/completions", json=CALL)
        client.post("/v1/completions", json={**CALL, "prompt": "x" * 100_000})
    kept, cut = lines(tmp_path / "audit.jsonl")
    assert json.loads(kept["body"]) == CALL and len(cut["body"]) == 2**16


def test_lines_of_batches(make: "Callable[..., FastAPI]", tmp_path: Path) -> None:
    line = {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": CALL}
    with TestClient(make(), base_url="http://localhost") as client:
        file = client.post("/v1/files", files={"file": ("a.jsonl", json.dumps(line))}, data={"purpose": "batch"}).json()
        asked = {"input_file_id": file["id"], "endpoint": "/v1/completions", "completion_window": "24h"}
        batch = client.post("/v1/batches", json=asked).json()
        until = time.monotonic() + 60
        while client.get(f"/v1/batches/{batch['id']}").json()["status"] != "completed" and time.monotonic() < until:
            time.sleep(0.02)
    (told,) = [one for one in lines(tmp_path / "audit.jsonl") if "batch" in one]
    assert (told["batch"], told["user"], told["models"], told["outcome"]) == (batch["id"], "local", ["tiny"], "done")
    assert told["device_seconds"] > 0 and "secret" not in json.dumps(told)


def test_a_caller_who_leaves(
    make: "Callable[..., FastAPI]", tmp_path: Path, slow: Callable[[float], None], listen: Callable[..., Any]
) -> None:
    import httpx

    slow(0.02)
    with listen(make()) as address:
        with httpx.stream("POST", f"{address}/v1/completions", json={**CALL, "max_tokens": 400, "stream": True}) as answer:
            next(answer.iter_lines())
        until = time.monotonic() + 30
        while not lines(tmp_path / "audit.jsonl") and time.monotonic() < until:
            time.sleep(0.02)
    (told,) = lines(tmp_path / "audit.jsonl")
    assert told["outcome"] == "cancelled" and told["status"] == 200


def test_it_is_rotated(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "new" / "a.jsonl", 100, 2)
    for number in range(12):
        log.write({"number": number})
    log.close()
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == ["a.jsonl", "a.jsonl.1", "a.jsonl.2"]
    assert [line["number"] for name in reversed(files) for line in lines(tmp_path / "new" / name)][-1] == 11
    assert all(path.stat().st_size <= 100 and path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "new").iterdir())


def test_what_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BadRequest, match="cannot be written"):
        AuditLog(tmp_path, 100, 2)
    log = AuditLog(tmp_path / "a.jsonl", 10**6, 2)
    log.write({"number": 0})
    with caplog.at_level(logging.ERROR):
        log._handler.baseFilename = "/dev/full"
        log._handler.doRollover = log._handler.shouldRollover = lambda *_: 0  # type: ignore[assignment,method-assign]
        log._handler.stream.close()
        log._handler.stream = log._handler._open()
        log.write({"number": 1})
        log.write({"number": 2})
        log.close()
    assert caplog.text.count("lines are missing") == 1
