"""The page: a tab a file, and one Runtime for everybody who opens it. Knows what stands where; not what happens in a tab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmgen.errors import BadRequest
from mmgen.runtime import Runtime

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported, which the tabs do

import gradio as gr

from . import ask, draw

HOST = "127.0.0.1"
FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica", "sans-serif"]  # what is there: no font is fetched from anywhere
THEME = gr.themes.Soft(
    primary_hue="teal", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"]
)
HEADER = "<header id='head'><h1>mmgen</h1><p>Ask your documents and draw pictures, on this machine alone.</p></header>"


def page(rt: Runtime, *, store: str | None = None, model: str | None = None) -> gr.Blocks:
    """All tabs. `store`: what Ask reads; `model`: what draws."""
    blocks: gr.Blocks = gr.Blocks(title="mmgen", analytics_enabled=False, delete_cache=(3600, 24 * 3600), fill_width=True)
    with blocks:
        gr.HTML(HEADER)
        with gr.Tab("Ask"):
            asking = ask.tab(rt, store)
        with gr.Tab("Draw"):
            drawing = draw.tab(rt, model)
        blocks.unload(asking.cancel)
        blocks.unload(drawing.cancel)
    return blocks


def serve(rt: Runtime, *, port: int = 7860, open_browser: bool = False, **options: Any) -> tuple[gr.Blocks, str]:
    """Starts the server, for this machine only, and returns the page and its address. Raises BadRequest for a port in use."""
    blocks = page(rt, **options)
    blocks.queue(default_concurrency_limit=None)  # who waits for whom is the engine's affair
    try:
        _, address, _ = blocks.launch(
            server_name=HOST,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            max_file_size="64mb",
            footer_links=[],
            theme=THEME,
            css_paths=Path(__file__).with_name("web.css"),
        )
    except OSError:
        raise BadRequest(f"port {port} is in use or not allowed; choose another with --port") from None
    return blocks, address
