"""The whole page: it is built, also under a path of another application, and the engine is watched while it is seen."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI

from apps import web

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


async def test_it_is_mounted_under_a_path(tiny_runtime: "Runtime") -> None:
    """In a running loop: outside of one Gradio makes loops that nobody closes."""
    app = FastAPI()

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    web.mount(app, tiny_runtime, "/ui", keep=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        page = await client.get("/ui/")
        assert page.status_code == 200 and "mmgen" in page.text
        assert (await client.get("/healthz")).json() == "ok"
        parts = (await client.get("/ui/config")).json()["components"]
        labels = [one["props"].get("label") for one in parts if one["type"] == "tabitem"]
        assert labels == ["Chat", "Ask", "Images", "Image search", "Text", "Models", "Engine", "Plugins"]


@pytest.mark.parametrize(("tab", "active"), [("Engine", [True, False]), ("Models", [False, True]), ("Ask", [False, False])])
def test_a_tab_is_refreshed_while_it_is_seen(tab: str, active: list[bool]) -> None:
    event: Any = SimpleNamespace(value=tab)
    assert [timer.active for timer in web.watched(event)] == active
