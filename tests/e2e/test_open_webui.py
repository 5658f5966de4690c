"""Open WebUI, unmodified, in front of `mmgen serve`: models and answers by OpenAI and by Ollama, an image by A1111.

MMGEN_OPEN_WEBUI names its command, as it is installed apart: it pins other releases of packages that this project needs, too.
"""

import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STARTS = 300  # seconds that its first start may take: it makes a database and imports torch
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def command() -> str:
    """Skips where it is not installed; fails where it is named and not there."""
    given = os.environ.get("MMGEN_OPEN_WEBUI")
    found = shutil.which(given or "open-webui")
    if found is None and given:
        pytest.fail(f"MMGEN_OPEN_WEBUI is {given}, and there is no such command")
    if found is None:
        pytest.skip(
            "open-webui is not installed: pip install open-webui in an environment of its own, MMGEN_OPEN_WEBUI=its command"
        )
    return found


def settings(address: str, folder: Path) -> dict[str, str]:
    """As docs/howto/open-webui.md names them; each connection's models with a prefix of their own, to tell the roads apart."""
    return {
        "OPENAI_API_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": "none",
        "OPENAI_API_CONFIGS": json.dumps({"0": {"prefix_id": "openai", "model_ids": ["embedded:smollm2", "embedded:books"]}}),
        "OLLAMA_BASE_URL": address, "OLLAMA_API_CONFIGS": json.dumps({"0": {"prefix_id": "ollama"}}),
        "ENABLE_IMAGE_GENERATION": "true", "IMAGE_GENERATION_ENGINE": "automatic1111", "AUTOMATIC1111_BASE_URL": address,
        "IMAGE_SIZE": "64x64", "IMAGE_STEPS": "8",
        "AIOHTTP_CLIENT_TIMEOUT_MODEL_LIST": "120",
        "WEBUI_AUTH": "false", "WEBUI_SECRET_KEY": "a key of this test, 32 characters long", "DATA_DIR": str(folder),
        "OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1", "RAG_EMBEDDING_MODEL": "", "ANONYMIZED_TELEMETRY": "false",
    }  # fmt: skip


@pytest.fixture
def webui(server: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """Signed in, before a server of ours that it calls by all three dialects."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    start = [command(), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (tmp_path / "log.txt").open("wb") as log,
        subprocess.Popen(start, env=own | settings(server, tmp_path), cwd=tmp_path, stdout=log, stderr=log) as theirs,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client,
    ):
        try:
            wait(client, theirs, tmp_path / "log.txt")
            token = client.post("/api/v1/auths/signin", json={"email": "", "password": ""}).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            yield client
        finally:
            theirs.terminate()


def wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS
    while time.monotonic() < until:
        try:
            if client.get("/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
        assert process.poll() is None, log.read_text()[-3000:]
    pytest.fail(f"Open WebUI is not there after {STARTS} s: {log.read_text()[-3000:]}")


def test_open_webui_shows_asks_and_draws(webui: httpx.Client) -> None:
    listed = {one["id"]: one for one in good(webui.get("/api/models"))["data"]}
    assert listed["openai.embedded:smollm2"]["owned_by"] == "openai"
    details = listed["ollama.embedded:smollm2"]["ollama"]["details"]
    assert (details["family"], details["parameter_size"], details["quantization_level"]) == ("llama", "134.52M", "Q4_1")
    assert "openai.embedded:emoji" not in listed, "model_ids leaves out what does not chat"

    for road in ("openai", "ollama"):
        asked = {"model": f"{road}.embedded:smollm2", "messages": QUESTION, "temperature": 0, "max_tokens": 12}
        whole = good(webui.post("/api/chat/completions", json={**asked, "stream": False}))
        assert "Paris" in whole["choices"][0]["message"]["content"]
        pieces = [
            one["choices"][0]["delta"].get("content") for one in events(webui, {**asked, "stream": True}) if one["choices"]
        ]
        assert "Paris" in "".join(filter(None, pieces)) and len(pieces) > 4, "it streams"

    assert "ollama.embedded:smollm2" in [one["name"] for one in good(webui.get("/ollama/api/tags"))["models"]]
    ollama = {"model": "ollama.embedded:smollm2", "messages": QUESTION, "options": {"temperature": 0}}
    assert "Paris" in good(webui.post("/ollama/api/chat", json={**ollama, "stream": False}))["message"]["content"]
    with webui.stream("POST", "/ollama/api/chat", json={**ollama, "stream": True}) as answer:
        lines = [json.loads(line) for line in answer.iter_lines() if line]
    assert lines[-1]["done"] and "Paris" in "".join(one["message"]["content"] for one in lines if "message" in one)
    assert good(webui.get("/ollama/api/version"))["version"]

    assert "embedded:emoji" in [one["id"] for one in good(webui.get("/api/v1/images/models"))]
    drawn = good(webui.post("/api/v1/images/generations", json={"prompt": "a red apple", "n": 2, "negative_prompt": "green"}))
    assert len(drawn) == 2
    with Image.open(io.BytesIO(webui.get(drawn[0]["url"]).content)) as image:
        assert image.size == (64, 64) and len(image.getcolors(4096) or range(4097)) > 50, "something is drawn"


def good(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()


def events(webui: httpx.Client, body: dict[str, Any]) -> list[Any]:
    with webui.stream("POST", "/api/chat/completions", json=body) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
