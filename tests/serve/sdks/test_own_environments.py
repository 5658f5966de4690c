"""Clients that cannot stand beside this project's packages, in environments of their own, which are made for the test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SECONDS = 600
"""That installing may take."""

LLAMA_INDEX = """
import json, sys
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

said = dict(model="tiny", api_base=sys.argv[1] + "/v1", api_key="none", max_retries=0)
said |= dict(temperature=0, max_tokens=12, context_window=512)
chat, plain = OpenAILike(is_chat_model=True, **said), OpenAILike(is_chat_model=False, **said)
messages = [ChatMessage(role="system", content="be kind"), ChatMessage(role="user", content="the cat")]
print(json.dumps({
    "chat": chat.chat(messages).message.content,
    "stream": "".join(piece.delta for piece in chat.stream_chat(messages)),
    "text": plain.complete("the cat").text,
    "text stream": "".join(piece.delta for piece in plain.stream_complete("the cat")),
}))
"""


def environment(place: Path, package: str) -> Path:
    """Its Python. Skips where the package cannot be installed in time."""
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    try:
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", package], capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{package} is not installed after {SECONDS} s")
    if done.returncode:
        pytest.skip(f"{package} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.timeout(SECONDS + 300)
def test_llama_index(server: str, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", "llama-index-llms-openai-like")
    done = subprocess.run([python, "-c", LLAMA_INDEX, server], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["chat"] and told["chat"] == told["stream"] and told["text"] and told["text"] == told["text stream"]
