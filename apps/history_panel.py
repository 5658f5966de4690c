"""The history panel of a tab: past requests and results, kept across page reloads, with search, reopen and delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from mmgen.engine.job import Request
from mmgen.errors import MmgenError
from mmgen.stores.history import History, HistoryEntry

from .sessions import LOCAL, error_toasts, key_of

MOST = 12  # entries of a panel
LONGEST = 70  # characters of an entry's name
NOTHING = "<p class='empty'>No history yet. Results are saved on this machine and can be reopened or deleted.</p>"
NO_MATCH = "<p class='empty'>No entry contains these words.</p>"


class HistoryPanel:
    """A user's history as the tabs show it. `history` None: nothing is saved."""

    def __init__(self, history: History | None) -> None:
        self.history = history

    def add(
        self, request: Request, kind: str, asked: Mapping[str, Any], result: Mapping[str, Any], files: Mapping[str, bytes]
    ) -> None:
        """Saves a result; a failure shows a warning, and the result is shown anyway."""
        try:
            if self.history is not None:
                self.history.add(user(), request.id, kind, asked, result, files)
        except MmgenError as why:
            gr.Warning(str(why))

    def entries(self, kinds: Sequence[str], words: str) -> list[HistoryEntry]:
        """Entries of these pipelines that contain all words, newest first."""
        if self.history is None:
            return []
        found = [entry for kind in kinds for entry in self.history.entries(user(), words, kind, MOST)]
        return sorted(found, key=lambda entry: -entry.created)[:MOST]

    def files(self, entry: HistoryEntry, suffix: str) -> list[bytes]:
        """The entry's files with that suffix, sorted by name."""
        assert self.history is not None
        names = sorted(file.name for file in entry.files if file.name.endswith(suffix))
        return [self.history.read(user(), entry.id, name) for name in names]

    def panel(
        self, title: str, kinds: Sequence[str], name: Callable[[HistoryEntry], str], reopen: Any, inputs: Any, outputs: Any
    ) -> gr.State:
        """A list to search, reopen and delete. `reopen(entry, *inputs)` yields the outputs. Returns a state, see `newer`."""
        fresh = gr.State(0)
        with gr.Accordion(title, open=False, visible=self.history is not None, elem_classes="past"):
            words = gr.Textbox("", label="Search", show_label=False, placeholder="Search history", container=False)

            @gr.render(inputs=[words, fresh], show_progress="hidden")
            def rows(said: str | None, _: int) -> None:
                found = self.entries(kinds, said or "")
                if not found:
                    gr.HTML(NO_MATCH if said else NOTHING)
                for entry in found:
                    with gr.Row(elem_classes="entry"):
                        label = f"{cut(name(entry))} · {since(entry.created)}"
                        open_ = gr.Button(label, size="sm", min_width=160, elem_classes="open")
                        delete = gr.Button("Delete", size="sm", scale=0, min_width=76)
                    open_.click(self._opened(entry.id, reopen), inputs, outputs, show_progress="hidden")
                    delete.click(self._deleted(entry.id), fresh, fresh, show_progress="hidden")

        return fresh

    def newer(self, fresh: int) -> int:
        """Changes the state, so that the list is rendered again."""
        return fresh + 1

    def _opened(self, id: str, reopen: Any) -> Any:
        def run(*inputs: Any) -> Any:
            assert self.history is not None
            with error_toasts():
                yield from reopen(self.history.get(user(), id), *inputs)

        return run

    def _deleted(self, id: str) -> Any:
        def run(fresh: int) -> int:
            assert self.history is not None
            with error_toasts():
                self.history.delete(user(), id)
            return fresh + 1

        return run


def user() -> str:
    """The history's user in the current Gradio request: the key's user, or the local one."""
    return key_of(LocalContext.request.get(None)) or LOCAL


def cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def since(created: float) -> str:
    """`3 min ago`"""
    seconds = max(0.0, time.time() - created)
    for most, unit, word in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < most:
            return f"{seconds / unit:.0f} {word} ago"
    return f"{seconds / 86400:.0f} days ago"
