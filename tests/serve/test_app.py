"""The application: every router is there, and what it opened is closed with it."""

from collections.abc import Callable

from fastapi import FastAPI
from fastapi.testclient import TestClient


def test_routers_and_request_ids(make_app: Callable[..., FastAPI]) -> None:
    app = make_app()
    paths = set(app.openapi()["paths"])
    assert {"/v1/models", "/v1/chat/completions", "/v1/embeddings", "/v1/stores", "/v1/pipelines", "/v1/history"} <= paths
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/docs").status_code == 404, "FastAPI's own pages load scripts from elsewhere"
    assert app.state.tracker.closed
