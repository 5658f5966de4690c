"""/v1/requests, /healthz, /readyz, /metrics: who sees what."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai import OpenAI

from mmgen.runtime import Runtime


def test_a_request_by_its_id(openai: OpenAI) -> None:
    reply = openai.completions.create(model="tiny", prompt="the", max_tokens=2)
    found: Any = openai.get(f"/requests/{reply._request_id}", cast_to=object)
    assert (found["kind"], found["status"], found["user"]) == ("text", "done", "local")
    assert openai.get(f"/requests/{reply.id}", cast_to=object) == found
    assert openai.delete(f"/requests/{reply.id}", cast_to=object) == found  # it has ended: nothing changes


def test_others_requests_are_unknown(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    live = client.app.state.tracker  # type: ignore[attr-defined]
    anns = live.begin("chat", "ann", "normal")
    try:
        assert client.get(f"/v1/requests/{anns.id}").json()["user"] == "ann"  # whoever may see the engine
        from mmgen.serve import context

        monkeypatch.setattr(context.Caller, "scopes", frozenset({"chat"}), raising=False)
        monkeypatch.setattr("mmgen.serve.auth.Caller", lambda *a, **k: context.Caller("local", frozenset({"chat"})))
        assert client.get(f"/v1/requests/{anns.id}").status_code == 404
        assert client.delete(f"/v1/requests/{anns.id}").status_code == 404 and not anns.cancelled
        assert anns.id not in client.get("/v1/requests").text
        assert client.get("/metrics").status_code == 403
    finally:
        live.end(anns)


def test_health(client: TestClient, served: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
    monkeypatch.setattr(served.engine._loop, "hang", "a step hangs")
    told = client.get("/readyz")
    assert (told.status_code, told.json()) == (503, {"status": "a step hangs"})


def test_metrics(client: TestClient, openai: OpenAI) -> None:
    openai.embeddings.create(model="embedded:minilm", input="a")
    plain = client.get("/metrics")
    assert 'mmgen_jobs_total{runner="encode:embedded:minilm",status="done"}' in plain.text
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    rich = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert rich.text.endswith("# EOF\n") and rich.headers["content-type"].startswith("application/openmetrics-text")


def test_what_is_not_there(client: TestClient) -> None:
    for response in (client.get("/v1/nothing"), client.get("/v1/requests/nobody")):
        assert response.status_code == 404 and set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert client.get("/v1/chat/completions").status_code == 405
