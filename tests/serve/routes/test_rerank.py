from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tiny_cross_encoders
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

DOCUMENTS = ["The cat sat on the mat.", {"text": "Interest rates rose again."}, "A kitten sleeps."]


def test_the_best_first(client: TestClient) -> None:
    answer = client.post("/v1/rerank", json={"query": "a small cat", "documents": DOCUMENTS, "model": "embedded:minilm"}).json()
    assert {one["index"] for one in answer["results"][:2]} == {0, 2} and answer["results"][2]["index"] == 1
    scores = [one["relevance_score"] for one in answer["results"]]
    assert scores == sorted(scores, reverse=True) and -1 <= min(scores) <= max(scores) <= 1.0001
    assert answer["results"][2]["document"] == {"text": "Interest rates rose again."}
    assert answer["model"] == "embedded:minilm" and answer["usage"]["total_tokens"] > 15


def test_only_so_many_without_their_texts(client: TestClient) -> None:
    body = {"query": "a small cat", "documents": DOCUMENTS, "top_n": 1, "return_documents": False}
    (one,) = client.post("/v1/rerank", json=body).json()["results"]
    assert set(one) == {"index", "relevance_score"}


@pytest.mark.parametrize(
    "body",
    [{"query": "x"}, {"query": "x", "documents": []}, {"query": "", "documents": ["a"]}, {"query": "x", "documents": [""]}],
)
def test_mistakes_are_told(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/v1/rerank", json=body).status_code == 400


def test_by_a_cross_encoder_that_is_served(make_app: "Callable[..., FastAPI]", served: "Runtime", tmp_path: Path) -> None:
    folder = tiny_cross_encoders.save(tmp_path / "judge")
    texts = ["sea", "lamp lamp red", "green sea"]
    with TestClient(make_app(models=(str(folder),)), base_url="http://localhost") as client:
        body = {"query": "red lamp", "documents": texts, "model": "judge"}
        answer = client.post("/v1/rerank", json=body).json()
        scores = served.cross_encoder(str(folder)).score("red lamp", texts).tolist()
        assert [one["relevance_score"] for one in answer["results"]] == sorted(scores, reverse=True)
        assert answer["model"] == "judge" and answer["usage"]["total_tokens"] == 21
        listed = {one["id"]: one["kind"] for one in client.get("/v1/models").json()["data"]}
        assert listed["judge"] == "cross-encoder"
        for name in (str(folder), "org/judge"):
            assert client.post("/v1/rerank", json={**body, "model": name}).status_code == 404, "neither loaded nor fetched"


@pytest.mark.parametrize("path", ["/v1/stores/ordered/search", "/v1/stores/ordered/ask", "/v1/pipelines/rag-text"])
def test_no_store_is_ordered_by_what_is_not_served(client: TestClient, tmp_path: Path, path: str) -> None:
    folder = tiny_cross_encoders.save(tmp_path)
    client.post("/v1/stores", json={"name": "ordered"})
    asked = {"query": "x"} if path.endswith("search") else {"question": "x"}
    answer = client.post(path, json={**asked, "rerank": str(folder)})
    assert answer.status_code == 404 and "is not served here" in answer.text
