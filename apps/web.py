"""The web UI: all tabs over one Runtime, shared by every visitor."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.pipelines.agent.mcp_tools import McpConnections
from mmgen.runtime import Runtime
from mmgen.stores.conversations import Conversations
from mmgen.stores.history import History

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported, which the tabs do

import gradio as gr

from . import ask_tab, engine_tab, models_tab, plugins_tab, write_tab
from .chat import chat_tab
from .history_panel import HistoryPanel
from .images import draw_tab, see_tab
from .model_chooser import ModelChooser
from .page_stores import PageStores
from .sessions import Pages
from .theme import LOOKS

if TYPE_CHECKING:
    from fastapi import FastAPI

HOST = "127.0.0.1"
HEADER = (
    "<header id='head'><h1>mmgen</h1><p>Generate text and images, search and question your documents, all on this machine.</p>"
    "</header>"
)
ENGINE_TAB = "Engine"
MODELS_TAB = "Models"


def page(
    rt: Runtime,
    *,
    store: str | None = None,
    model: str | None = None,
    history: History | None = None,
    keep: bool = True,
    server: FastAPI | None = None,
    pull: models_tab.Pull = hub.resolve,
    mcp: McpConnections | None = None,
) -> gr.Blocks:
    """All tabs.

    store: the store that is chosen first in the Ask and Image search tabs.
    model: the text-to-image model, likewise.
    history: where results are saved; default: in the home directory.
    keep: False saves no history.
    server: the application that the page is part of. Without one it serves the owner of this machine alone, who may name any
        folder, file or repo id.
    pull: fetches a model that the owner asks for.
    mcp: servers whose tools the Chat tab offers; default: those of `server`. Whoever made it closes it.
    """
    past = HistoryPanel((history or History(rt.config.history or rt.home / "history")) if keep else None)
    local = server is None
    stores = PageStores(rt, store, local=local, pool=getattr(getattr(server, "state", None), "stores", None))
    chooser, pages = ModelChooser(rt, local), Pages()
    mcp = mcp or getattr(getattr(server, "state", None), "mcp_servers", None) or McpConnections(())
    chats = conversations(rt, keep)
    blocks: gr.Blocks = gr.Blocks(title="mmgen", analytics_enabled=False, delete_cache=(3600, 24 * 3600), fill_width=True)
    with blocks:
        gr.HTML(HEADER)
        with gr.Tabs() as tabs:
            with gr.Tab("Chat"):
                resumed = [chat_tab.tab(rt, stores, chooser, pages, chats, model, fetches(server), mcp)]
            with gr.Tab("Ask"):
                resumed.append(ask_tab.tab(stores, past, chooser, pages))
            with gr.Tab("Images"):
                resumed.append(draw_tab.tab(rt, model, past, chooser, pages))
            with gr.Tab("Image search"):
                resumed.append(see_tab.tab(stores, chooser, pages))
            with gr.Tab("Text"):
                resumed.append(write_tab.tab(rt, chooser, pages))
            with gr.Tab(MODELS_TAB) as seen:
                models = models_tab.tab(rt, chooser, pages, pull, seen)
            with gr.Tab(ENGINE_TAB) as seen:
                timer, look = engine_tab.tab(rt, seen)
            with gr.Tab("Plugins"):
                plugins_tab.tab(rt, pages)
        blocks.load(look, show_progress="hidden")
        tabs.select(watched, None, [timer, models], show_progress="hidden")
        name = gr.Textbox(visible=False)
        opened = blocks.load(pages.opened, name, None, js="() => [mmgenPage()]", show_progress="hidden")
        for show, inputs, outputs in resumed:
            opened.then(show, inputs, outputs, show_progress="hidden")
        blocks.unload(pages.closed)
    blocks.queue(default_concurrency_limit=None)  # the engine schedules requests
    return blocks


def conversations(rt: Runtime, keep: bool) -> Conversations:
    """In the home's history; or until the process ends."""
    if keep:
        return Conversations(rt.config.history or rt.home / "history")
    folder = tempfile.TemporaryDirectory(prefix="mmgen-chat-", ignore_cleanup_errors=True)
    made = Conversations(Path(folder.name))
    weakref.finalize(made, folder.cleanup)
    return made


def fetches(server: FastAPI | None) -> bool:
    """Whether web pages may be fetched: by the owner of the machine, and where the server's settings say so."""
    return server is None or bool(getattr(getattr(server.state, "settings", None), "fetch_urls", False))


def watched(event: gr.SelectData) -> tuple[gr.Timer, gr.Timer]:
    """The timers that refresh the Engine and Models tabs run only while the tab is visible."""
    return gr.Timer(active=event.value == ENGINE_TAB), gr.Timer(active=event.value == MODELS_TAB)


def mount(app: FastAPI, rt: Runtime, path: str, **options: Any) -> FastAPI:
    """Mounts the UI under a path of another application, such as "/ui". `options`: as of `page`."""
    blocks = page(rt, server=app, **options)
    mounted: FastAPI = gr.mount_gradio_app(app, blocks, path=path, show_error=True, **LOOKS)
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
            _frontend=False,  # Gradio asks its own page once and gives up after 3 s, which a busy machine may take
            **LOOKS,
        )
    except OSError:
        raise BadRequest(f"port {port} is in use or not allowed; choose another with --port") from None
    return blocks, address
