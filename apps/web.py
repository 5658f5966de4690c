"""The web UI: all tabs over one Runtime, shared by every visitor."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime
from mmgen.stores.history import History

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported, which the tabs do

import gradio as gr

from . import ask_tab, draw_tab, engine_tab, plugins_tab, see_tab, write_tab
from .history_panel import HistoryPanel
from .theme import LOOKS

if TYPE_CHECKING:
    from fastapi import FastAPI

HOST = "127.0.0.1"
HEADER = (
    "<header id='head'><h1>mmgen</h1><p>Generate text and images, search and question your documents, all on this machine.</p>"
    "</header>"
)
ENGINE_TAB = "Engine"


def page(
    rt: Runtime, *, store: str | None = None, model: str | None = None, history: History | None = None, keep: bool = True
) -> gr.Blocks:
    """All tabs.

    store: the store of the Ask and Image search tabs.
    model: the text-to-image model.
    history: where results are saved; default: in the home directory.
    keep: False saves no history.
    """
    past = HistoryPanel((history or History(rt.home / "history")) if keep else None)
    rag = RagText(rt, store=store)
    blocks: gr.Blocks = gr.Blocks(title="mmgen", analytics_enabled=False, delete_cache=(3600, 24 * 3600), fill_width=True)
    with blocks:
        gr.HTML(HEADER)
        with gr.Tabs() as tabs:
            with gr.Tab("Ask"):
                sessions = [ask_tab.tab(rag, past)]
            with gr.Tab("Images"):
                sessions.append(draw_tab.tab(rt, model, past))
            with gr.Tab("Image search"):
                sessions.append(see_tab.tab(rag.library))
            with gr.Tab("Text"):
                sessions.append(write_tab.tab(rt))
            with gr.Tab(ENGINE_TAB):
                timer, look = engine_tab.tab(rt)
            with gr.Tab("Plugins"):
                sessions.append(plugins_tab.tab(rt))
        blocks.load(look, show_progress="hidden")
        tabs.select(watched, None, timer, show_progress="hidden")
        for one in sessions:
            blocks.unload(one.cancel)
    blocks.queue(default_concurrency_limit=None)  # the engine schedules requests
    return blocks


def watched(event: gr.SelectData) -> gr.Timer:
    """The timer that refreshes the Engine tab runs only while the tab is visible."""
    return gr.Timer(active=event.value == ENGINE_TAB)


def mount(app: FastAPI, rt: Runtime, path: str, **options: Any) -> FastAPI:
    """Mounts the UI under a path of another application, such as "/ui". `options`: as of `page`."""
    mounted: FastAPI = gr.mount_gradio_app(app, page(rt, **options), path=path, show_error=True, **LOOKS)
    return mounted


def serve(rt: Runtime, *, port: int = 7860, open_browser: bool = False, **options: Any) -> tuple[gr.Blocks, str]:
    """Starts the server on the loopback interface -> the UI and its address. Raises BadRequest for a port in use."""
    blocks = page(rt, **options)
    try:
        _, address, _ = blocks.launch(
            server_name=HOST,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            **LOOKS,
        )
    except OSError:
        raise BadRequest(f"port {port} is in use or not allowed; choose another with --port") from None
    return blocks, address
