"""Whatever the schema allows, and what it does not, is answered without a fault of the server's own."""

import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests as requests_lib
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

LEAST = {
    "steps": 2, "n": 2, "best_of": 2, "max_tokens": 4, "max_completion_tokens": 4, "max_output_tokens": 4, "preview_every": 1,
    "beams": 2,
}  # fmt: skip
"""Work that is asked for is cut to this: the test is about requests, not about waiting."""
PATIENCE_S = 60.0
PIPELINES = ("txt2img", "text", "rag-text", "zero-shot-image", "image-search", "nothing")


@pytest.fixture
def stocked(
    served: "Runtime", make_app: "Callable[..., FastAPI]", listen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A server over a home of its own, which keeps a history and has a store with a document."""
    monkeypatch.setattr(served, "home", tmp_path / "home")
    with listen(make_app(history=True)) as address:
        httpx.post(f"{address}/v1/stores", json={"name": "notes"}).raise_for_status()
        text = {"text": "The tower was built by Ada Finch."}
        httpx.post(f"{address}/v1/stores/notes/documents", json=text).raise_for_status()
        yield address


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


def sent(strategy: Any, model: str, requests: int, number: int, faults: list[str]) -> list[int]:
    """Statuses; a fault of the server's own, or an answer that does not come, is told in `faults`. `number`: of the seed."""
    found = []

    @seed(number)
    @settings(
        max_examples=requests, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(case=strategy)
    def one(case: Any) -> None:
        tamed(case, model)
        try:
            response = case.call(timeout=PATIENCE_S)
        except requests_lib.RequestException as why:
            faults.append(f"{case.as_curl_command()}: {type(why).__name__}")
            return
        found.append(response.status_code)
        if response.status_code >= 500:
            faults.append(f"{case.as_curl_command()}: {response.text}")

    with suppress(Unsatisfiable):
        one()
    return found


def modes(operation: Any) -> list[GenerationMode]:
    """NEGATIVE too, where something wrong can be sent: every text is a name, and searching for one that is none takes long."""
    names = [one for one in operation.path_parameters if one.definition["schema"].get("type") != "string"]
    wrong = len(operation.body) or len(operation.query) or names
    return [GenerationMode.POSITIVE, *([GenerationMode.NEGATIVE] if wrong else [])]


def knock(server: str, model: str, requests: int = 0) -> dict[str, list[int]]:
    """At least so many requests, spread over all operations, each of them at least once -> the statuses of each.

    What an operation is sent never comes twice but by chance: where nothing can be varied it is one request a round.
    """
    schema = schemathesis.openapi.from_url(f"{server}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    left = [(one, one.as_strategy(generation_mode=mode)) for one in operations for mode in modes(one)]
    statuses: dict[str, list[int]] = {operation.label: [] for operation, _ in left}
    faults: list[str] = []
    total = number = 0
    while number == 0 or total < requests:
        each = max(1, -(-(requests - total) // len(left)))
        for operation, strategy in left:
            found = sent(strategy, model, each, number, faults)
            statuses[operation.label] += found
            total += len(found)
        number += 1
        left = [one for one in left if len(one[0].body)]
    assert not faults, f"{len(faults)} of {total} requests\n" + "\n".join(faults)
    return statuses


def test_a_few_requests_of_every_kind(stocked: str, tiny_llama: Path) -> None:
    statuses = knock(stocked, tiny_llama.name)
    assert len(statuses) > 80 and all(statuses.values()) and sum(map(len, statuses.values())) >= 120
    assert {200, 400} <= set(statuses["POST /v1/rerank"] + statuses["POST /v1/images/generations"])


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_five_thousand_requests(stocked: str, tiny_llama: Path) -> None:
    statuses = knock(stocked, tiny_llama.name, 5000)
    assert all(statuses.values()) and sum(map(len, statuses.values())) >= 5000
    assert 200 in statuses["POST /v1/rerank"] + statuses["POST /v1/images/generations"]
