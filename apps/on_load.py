"""What a component shows when a page opens, asked for anew and without a spinner over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradio.context import Context


def fill(component: Any, fresh: Callable[..., Any]) -> None:
    """Called while the page is built; elsewhere there is none that could open. `fresh` may take the visitor's gr.Request."""
    page: Any = Context.root_block
    if page is not None:
        page.load(fresh, None, component, show_progress="hidden")
