"""The page behind keys, over a socket: a browser logs in with one, and sees what is that key's."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from mmgen.serve import errors
from mmgen.serve.security import secure
from mmgen.serve.settings import ServeConfig
from mmgen.stores import keys as module
from mmgen.stores.history import History
from mmgen.stores.keys import SCOPES, KeyStore


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """A page with two buttons: one keeps what was said, one tells what was kept."""
    monkeypatch.setattr(module, "COST", 2**4)
    app = FastAPI()
    engine = SimpleNamespace(set_weight=lambda *given: None, soonest=lambda: None)
    app.state.rt, app.state.settings = SimpleNamespace(engine=engine), ServeConfig()
    app.state.tracker = SimpleNamespace(close=lambda: None)
    errors.install(app)
    with KeyStore(tmp_path / "keys.db") as app.state.keys, History(tmp_path / "history") as history:
        secure(app, app.state.settings, app.state.keys)
        asyncio.run(add_page(app, history))
        yield app


async def add_page(app: FastAPI, history: History) -> None:
    """In a running loop: outside of one Gradio makes loops that nobody closes."""
    import gradio as gr

    from apps.history_panel import HistoryPanel
    from apps.sessions import Sessions

    past, sessions = HistoryPanel(history), Sessions()

    def keep(said: str, http: gr.Request) -> Iterator[str]:
        with sessions.request(http, "interactive") as request:
            yield "wait"
            past.add(request, "txt2img", {"prompt": said}, {}, {})
            yield "local" if request.user == http.session_hash else request.user

    def kept(_: str) -> str:
        return ",".join(one.asked["prompt"] for one in past.entries(["txt2img"], ""))

    with gr.Blocks(analytics_enabled=False) as page:
        said, shown, button = gr.Textbox(), gr.Textbox(), gr.Button()
        button.click(keep, said, shown, api_name="keep")
        button.click(kept, said, shown, api_name="kept")
    gr.mount_gradio_app(app, page, path="/ui")


@pytest.fixture
def address(app: FastAPI, listen: "Callable[[FastAPI], AbstractContextManager[str]]") -> Iterator[str]:
    with listen(app) as address:
        yield f"{address}/ui/"


def login(key: str) -> dict[str, str]:
    """As a browser sends a name and a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}


def opened(address: str, headers: dict[str, str]) -> Any:
    from gradio_client import Client

    return Client(address, headers=headers, verbose=False, analytics_enabled=False)


def test_everybody_sees_their_own(app: FastAPI, address: str) -> None:
    import httpx

    page = opened(address, {})
    assert page.predict("mine", api_name="/keep") == "local" and page.predict("", api_name="/kept") == "mine"
    keys: KeyStore = app.state.keys
    ann, bob = (login(keys.create(name, scopes=SCOPES)) for name in ("ann", "bob"))
    page = opened(address, ann)
    assert page.predict("secret of ann", api_name="/keep") == "ann" and page.predict("", api_name="/kept") == "secret of ann"
    assert opened(address, bob).predict("", api_name="/kept") == ""
    answer = httpx.get(address)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic ")
    evil = {**ann, "Origin": "https://evil.example"}  # a page elsewhere, in a browser that knows the password
    assert httpx.post(f"{address}gradio_api/queue/join", headers=evil, json={}).status_code == 403
    policy = httpx.get(address, headers=ann).headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
