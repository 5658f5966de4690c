from typing import Any

import pytest
from starlette.testclient import TestClient

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
