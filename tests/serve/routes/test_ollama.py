"""/api through Ollama's own client."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import ollama as sdk
import pytest
from ollama import Client
from starlette.testclient import TestClient

from mmgen.pipelines.chat import Chat
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime

HI: list[Any] = [{"role": "user", "content": "hi"}]
OPTIONS = {"seed": 3, "num_predict": 12, "temperature": 1.0, "top_p": 1.0}


@pytest.fixture(scope="module")
def ollama(server: str) -> Iterator[Client]:
    client = Client(server, timeout=60)
    yield client
    client._client.close()  # it has no close of its own


def test_chats(ollama: Client, served: Runtime) -> None:
    alone = Chat(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    reply = ollama.chat("tiny:latest", HI, options=OPTIONS)
    assert reply.message.content == alone.text and reply.done and reply.done_reason in ("stop", "length")
    assert (reply.prompt_eval_count, reply.eval_count) == (alone.usage.prompt, alone.usage.written)
    parts = list(ollama.chat("tiny", HI, options=OPTIONS, stream=True))
    assert "".join(part.message.content or "" for part in parts) == alone.text and parts[-1].eval_count == alone.usage.written
    assert [part.done for part in parts][-2:] == [False, True]


def test_generates(ollama: Client, served: Runtime) -> None:
    alone = Chat(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    assert ollama.generate("tiny", "hi", options=OPTIONS).response == alone.text
    raw = TextGeneration(served)("hi", max_tokens=12, seed=3, temperature=1.0, top_p=1.0)
    parts = list(ollama.generate("tiny", "hi", raw=True, options=OPTIONS, stream=True))
    assert "".join(part.response or "" for part in parts) == raw.text and parts[-1].eval_count == raw.usage.written
    assert ollama.generate("tiny", "").done_reason == "load"
    with pytest.raises(sdk.ResponseError, match="suffix is given"):
        ollama.generate("tiny", "hi", suffix="x")


def test_options_that_cannot_be_are_refused(client: TestClient, served: Runtime) -> None:
    model = served.host.config.text.rpartition("/")[2]
    for options in ({"temperature": 99}, {"stop": 7}, {"top_k": "x"}):
        for raw in (True, False):
            body = {"model": model, "prompt": "a", "raw": raw, "options": options, "stream": False}
            assert client.post("/api/generate", json=body).status_code == 400, (options, raw)


def test_tools_and_schemas(ollama: Client) -> None:
    def weather(sky: str) -> str:
        """The weather under a sky."""
        return sky

    reply = ollama.chat("tiny", HI, tools=[weather], options=OPTIONS)
    assert reply.message.role == "assistant"
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    reply = ollama.chat("tiny", HI, format=schema, options=OPTIONS | {"num_predict": 60})
    assert json.loads(reply.message.content or "")["a"] in (1, 2)


def test_vectors(ollama: Client, served: Runtime) -> None:
    texts = ["a red apple", "word " * 2000]  # the second is cut
    reply = ollama.embed("embedded:minilm", texts)
    assert np.allclose(reply.embeddings[0], served.encoder().embed_text(texts[:1])[0], atol=1e-5)
    assert len(reply.embeddings) == 2 and reply.prompt_eval_count > 250
    assert len(ollama.embeddings("embedded:minilm", "a red apple").embedding) == 384
    with pytest.raises(sdk.ResponseError, match="split it"):
        ollama.embed("embedded:minilm", texts, truncate=False)


def test_models(ollama: Client, client: TestClient) -> None:
    listed = {one.model: one for one in ollama.list().models}
    assert {"tiny", "embedded:minilm"} <= listed.keys() and listed["tiny"].size and listed["tiny"].digest
    shown = ollama.show("tiny")
    assert shown.capabilities and "completion" in shown.capabilities and shown.modelinfo and shown.template
    assert shown.modelinfo["llama.context_length"] == 512
    assert "tiny" in {one.model for one in ollama.ps().models}
    assert client.get("/api/version").json()["version"]
    assert ollama.pull("tiny").status == "success"
    for name, status in (("none/such", 403), ("tiny", 200)):
        assert client.post("/api/pull", content=f'{{"name":"{name}","stream":false}}').status_code == status
    with pytest.raises(sdk.ResponseError, match="not served here") as missing:
        ollama.show("none")
    assert missing.value.status_code == 404
