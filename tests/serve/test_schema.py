"""Whatever the schema allows, and what it does not, is answered without a fault of the server's own."""

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

LEAST = {
    "steps": 2, "n": 2, "best_of": 2, "max_tokens": 4, "max_completion_tokens": 4, "max_output_tokens": 4, "preview_every": 1,
    "beams": 2,
}  # fmt: skip
"""Work that is asked for is cut to this: the test is about requests, not about waiting."""
PIPELINES = ("txt2img", "text", "rag-text", "zero-shot-image", "image-search", "nothing")


@pytest.fixture
def stocked(server: str) -> Iterator[str]:
    """A server with a store that has a document; whatever else was made meanwhile goes at the end."""
    with httpx.Client(base_url=server) as client:
        before = {one["id"] for one in client.get("/v1/stores").json()["data"]}
        client.post("/v1/stores", json={"name": "notes"})
        client.post("/v1/stores/notes/documents", json={"text": "The tower was built by Ada Finch."})
        yield server
        for one in client.get("/v1/stores").json()["data"]:
            if one["id"] not in before:
                client.delete(f"/v1/stores/{one['id']}")


def tamed(case: Any, model: str) -> None:
    """Half of the cases name what is there, so that they come further than to a 404."""
    body = case.body if isinstance(case.body, dict) else {}
    for name, least in LEAST.items():
        if isinstance(body.get(name), int | float) and body[name] > least:
            body[name] = least
    if zlib.crc32(repr(case.body).encode("utf-8", "replace")) % 2:
        return
    if isinstance(body.get("model"), str):
        texts = case.path.startswith(("/v1/chat", "/v1/completions", "/v1/responses", "/v1/messages"))
        body["model"] = model if texts else "embedded:minilm" if "embed" in case.path or "rerank" in case.path else None
    if case.path.startswith("/v1/stores/") and case.method != "DELETE":
        case.path_parameters["name"] = "notes"
    if case.path == "/v1/pipelines/{name}":
        case.path_parameters["name"] = PIPELINES[len(json.dumps(body, default=str)) % len(PIPELINES)]


def answers(strategy: Any, model: str, requests: int) -> list[int]:
    """Statuses; the first fault of the server's own is an error."""
    found = []

    @settings(
        max_examples=requests, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def one(case: Any) -> None:
        tamed(case, model)
        response = case.call()
        found.append(response.status_code)
        assert response.status_code < 500, (case.as_curl_command(), response.text)

    with suppress(Unsatisfiable):  # who takes nothing can be sent nothing wrong
        one()
    return found


def knock(server: str, model: str, requests: int) -> dict[str, list[int]]:
    """So many requests, spread over all operations -> the statuses of each."""
    schema = schemathesis.openapi.from_url(f"{server}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    each = max(1, round(requests / len(operations) / 2))
    return {
        operation.label: [
            status
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
            for status in answers(operation.as_strategy(generation_mode=mode), model, each)
        ]
        for operation in operations
    }


def test_a_few_requests_of_every_kind(stocked: str, tiny_llama: Path) -> None:
    statuses = knock(stocked, tiny_llama.name, 60)
    assert len(statuses) > 20 and sum(map(len, statuses.values())) >= 40
    assert 200 in statuses["POST /v1/rerank"] + statuses["POST /v1/images/generations"]


@pytest.mark.slow
def test_two_thousand_requests(stocked: str, tiny_llama: Path) -> None:
    statuses = knock(stocked, tiny_llama.name, 4500)  # of operations without parameters there is one
    assert sum(map(len, statuses.values())) >= 2000
