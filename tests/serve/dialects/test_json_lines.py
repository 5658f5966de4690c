"""Bodies of any type that are JSON, and streams of lines."""

from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.testclient import TestClient

from mmgen.serve import errors
from mmgen.serve.dialects.json_lines import STREAM, described, reader


class Body(BaseModel):
    model_config = ConfigDict(strict=True)

    model: str


def test_any_type_is_json() -> None:
    app = FastAPI()
    errors.install(app)

    @app.post("/api/show", openapi_extra=described(Body))
    def show(body: Annotated[Body, Depends(reader(Body))]) -> str:
        return body.model

    client = TestClient(app)
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = client.post("/api/show", content='{"model":"tiny"}', headers={"Content-Type": kind})
        assert answer.json() == "tiny"
    wrong = [client.post("/api/show", content=text).json()["error"] for text in ("", "{", '{"model":1}', r'{"model":"\ud800"}')]
    assert [one["param"] for one in wrong] == ["model", None, "model", None]
    assert "model" in str(app.openapi()["paths"]["/api/show"]["post"]["requestBody"])


def test_lines() -> None:
    assert STREAM.event({"done": True}) == b'{"done":true}\n'
    assert STREAM.failed({"error": {"message": "why"}}) == b'{"error":"why"}\n'
