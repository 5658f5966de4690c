"""Errors in the form of the API that was called."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from mmgen.errors import Forbidden, NotFound, TooLarge
from mmgen.serve import errors
from mmgen.serve.dialects.error_forms import ErrorForms


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    errors.install(app)

    @app.get("/{path:path}")
    def fail(path: str, status: int) -> None:
        raise {404: NotFound, 403: Forbidden, 413: TooLarge}[status]("the reason; the remedy")

    app.add_middleware(ErrorForms)
    return TestClient(app)


def test_each_api_has_its_form(client: TestClient) -> None:
    ours = client.get("/v1/chat/completions?status=404").json()
    assert ours["error"]["code"] == "not_found"
    anthropic = client.get("/v1/messages?status=403")
    assert anthropic.status_code == 403
    assert anthropic.json() == {"type": "error", "error": {"type": "permission_error", "message": "the reason; the remedy"}}
    assert client.get("/api/chat?status=404").json() == {"error": "the reason; the remedy"}
    drawn = client.get("/sdapi/v1/txt2img?status=413")
    assert drawn.json()["detail"] == "the reason; the remedy" and int(drawn.headers["content-length"]) == len(drawn.content)
