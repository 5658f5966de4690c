"""/v1/files and /v1/batches through the official client, and /v1/audio, which is not there."""

import json
import time
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI
from starlette.testclient import TestClient


def line(id: str, endpoint: str, **body: Any) -> str:
    return json.dumps({"custom_id": id, "method": "POST", "url": endpoint, "body": body})


def done(openai: OpenAI, lines: list[str], endpoint: Any) -> Any:
    file = openai.files.create(file=("a.jsonl", "\n".join(lines).encode()), purpose="batch")
    batch = openai.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"k": "v"})
    end = time.monotonic() + 60
    while batch.status == "in_progress" and time.monotonic() < end:
        time.sleep(0.05)
        batch = openai.batches.retrieve(batch.id)
    return batch


def test_chats(openai: OpenAI) -> None:
    hi = [{"role": "user", "content": "hi"}]
    lines = [line(f"id{n}", "/v1/chat/completions", model="tiny", messages=hi, max_tokens=8, seed=n) for n in range(3)]
    lines.append(line("wrong", "/v1/chat/completions", model="none", messages=hi))
    batch = done(openai, lines, "/v1/chat/completions")
    assert batch.status == "completed" and batch.metadata == {"k": "v"}
    assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 1)
    told = [json.loads(one) for one in openai.files.content(batch.output_file_id).text.splitlines()]
    alone = openai.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=8, seed=1)
    assert [one["custom_id"] for one in told] == ["id0", "id1", "id2"]
    assert told[1]["response"]["body"]["choices"][0]["message"]["content"] == alone.choices[0].message.content
    (failed,) = map(json.loads, openai.files.content(batch.error_file_id).text.splitlines())
    assert failed["response"]["status_code"] == 404 and failed["response"]["body"]["error"]["code"] == "model_not_found"
    assert openai.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert batch.id in {one.id for one in openai.batches.list()}


def test_vectors_and_texts(openai: OpenAI) -> None:
    batch = done(openai, [line("a", "/v1/embeddings", model="embedded:minilm", input="an apple")], "/v1/embeddings")
    (told,) = map(json.loads, openai.files.content(batch.output_file_id).text.splitlines())
    assert len(told["response"]["body"]["data"][0]["embedding"]) == 384
    batch = done(openai, [line("a", "/v1/completions", model="tiny", prompt="a b", max_tokens=3)], "/v1/completions")
    assert batch.request_counts.completed == 1


def test_what_is_refused(openai: OpenAI) -> None:
    file = openai.files.create(file=("a.jsonl", b"{"), purpose="batch")
    for given, told in (
        ({"endpoint": "/v1/chat/completions"}, "line 1 of the file"),
        ({"endpoint": "/v1/images"}, "endpoint is"),
    ):
        with pytest.raises(sdk.BadRequestError, match=told):
            openai.batches.create(input_file_id=file.id, completion_window="24h", **given)  # type: ignore[arg-type]
    with pytest.raises(sdk.BadRequestError, match="documents go to /v1/stores"):
        openai.files.create(file=("a.txt", b"x"), purpose="assistants")
    assert file.id in {one.id for one in openai.files.list()}
    openai.files.delete(file.id)
    for missing in (file.id, "batch_0-output"):
        with pytest.raises(sdk.NotFoundError):
            openai.files.content(missing)


def test_audio_is_not_there(client: TestClient) -> None:
    for path in ("transcriptions", "speech"):
        answer = client.post(f"/v1/audio/{path}", json={"model": "whisper-1"})
        assert answer.status_code == 404 and "neither speaks nor listens" in answer.json()["error"]["message"]
