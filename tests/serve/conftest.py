"""A server over tiny models and the embedded MiniLM: in this process, and behind a real port."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from local_replicas import cluster  # noqa: F401  a fixture
from local_server import listening

if TYPE_CHECKING:
    from fastapi import FastAPI
    from openai import OpenAI
    from starlette.testclient import TestClient

    from mmgen.runtime import Runtime


@pytest.fixture(scope="session")
def served(
    tiny_llama: Path, pixel_model: Path, tiny_reader: Path, tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Runtime]":
    """The runtime behind the tests' servers."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    home = tmp_path_factory.mktemp("served")
    tiny = {
        "text": str(tiny_llama), "denoiser": str(pixel_model), "reader": str(tiny_reader), "image_encoder": str(tiny_clip)
    }  # fmt: skip
    with Runtime(RuntimeConfig(home=home, device="cpu", threads=1, **tiny)) as rt:
        yield rt


@pytest.fixture(scope="session")
def make_app(served: "Runtime") -> "Callable[..., FastAPI]":
    """`make_app(max_requests=2)`: an application with those settings; it keeps no history unless told to."""
    from mmgen.serve.app import create_app
    from mmgen.serve.settings import ServeConfig

    return lambda **settings: create_app(served, ServeConfig(**{"history": False, "drain_s": 1.0, **settings}))


@pytest.fixture(scope="session")
def client(make_app: "Callable[..., FastAPI]") -> "Iterator[TestClient]":
    """Speaks to an application in this process; one for all tests."""
    from starlette.testclient import TestClient

    with TestClient(make_app(), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def listen() -> "Callable[[FastAPI], AbstractContextManager[str]]":
    """`with listen(app) as address: ...`"""
    return listening


@pytest.fixture(scope="session")
def server(make_app: "Callable[..., FastAPI]") -> Iterator[str]:
    """The address of a server; one for all tests."""
    with listening(make_app()) as address:
        yield address


@pytest.fixture(scope="session")
def openai(server: str) -> "Iterator[OpenAI]":
    """The official client, which knows nothing of mmgen."""
    from openai import OpenAI

    with OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def slow(served: "Runtime", monkeypatch: pytest.MonkeyPatch) -> "Callable[[float], Any]":
    """`slow(0.02)`: from now on every quantum of the language model takes so many seconds more."""

    def delay(seconds: float) -> None:
        runner = served.text().text_runner
        step = runner.step

        def late(jobs: Any) -> None:
            time.sleep(seconds)
            step(jobs)

        monkeypatch.setattr(runner, "step", late)

    return delay
