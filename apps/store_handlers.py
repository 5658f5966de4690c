"""What the buttons beside a store do: documents in and out, stores made, watched and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.config import assets_dir
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.interfaces import Document
from mmgen.library import page_images
from mmgen.library.document_indexing import Added, IndexProgress

from . import answer_html
from .page_stores import PageStores
from .sessions import Pages, Sessions, error_toasts


class StoreHandlers:
    """`shown`, and likewise the others, returns the shelf, the documents to choose from, and the version shown."""

    def __init__(self, stores: PageStores, pages: Pages) -> None:
        self.stores, self.sessions = stores, Sessions(pages)

    def shown(self, store: str | None, http: gr.Request, report: str = "") -> tuple[str, Any, tuple[int, ...]]:
        with error_toasts():
            version = self.stores.version(store, http)
            found = self.stores.documents(store, http)
        names = [(Path(one.uri).name, one.uri) for one in found]
        told = f"<p class='report'>{report}</p>" if report else ""
        return told + answer_html.documents(found), gr.update(choices=names, value=[]), version

    def changed(self, store: str | None, seen: Sequence[int], http: gr.Request) -> tuple[Any, Any, Any]:
        """Of another window, or a watched folder."""
        if self.stores.version(store, http) == tuple(seen):
            return gr.skip(), gr.skip(), gr.skip()
        return self.shown(store, http)

    def stores_fresh(self, http: gr.Request) -> Any:
        return gr.update(choices=self.stores.names(http))

    def add(
        self, store: str | None, paths: Sequence[str] | None, http: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> tuple[Any, ...]:  # fmt: skip
        """Uploaded files, by their own names; one of the same name is replaced."""
        return *self._stored(store, http, progress, uploads=list(map(Path, paths or ()))), None

    def sample(self, store: str | None, http: gr.Request, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        return self._stored(store, http, progress, assets_dir() / "sample")

    def _stored(
        self, store: str | None, http: gr.Request, progress: gr.Progress, *paths: Path, uploads: Sequence[Path] = ()
    ) -> tuple[Any, ...]:
        def tell(step: IndexProgress) -> None:
            progress(step.files / max(1, step.of), desc=f"{step.files} of {answer_html.counted(step.of, 'document')}")

        done, documents, skipped = Added(), list[Document](), list[tuple[str, str]]()
        originals: list[bytes] = []
        with self.sessions.request(http, "batch") as request, error_toasts():
            library = self.stores.library(store, http, "stores:write")
            for path in uploads:
                try:
                    data = path.read_bytes()
                    documents.append(library.load(Path(path.name), data, metadata={}, request=request))
                    originals.append(data)
                except UnreadableFile as why:
                    skipped.append((path.name, str(why)))
            if paths or documents:
                done = library.add(paths, documents=documents, progress=tell, request=request)
            for document, data in zip(documents, originals, strict=True):
                page_images.keep(library.path, document, data)
        for uri, missing in done.partial:
            gr.Warning(f"{Path(uri).name} was read in part: {missing}")
        for uri, missing in done.unread_parts:
            gr.Info(f"{Path(uri).name} was read without {missing}")
        for name, reason in [*skipped, *done.skipped]:
            gr.Warning(reason if name in reason else f"{name}: {reason}")
        return self.shown(store, http, str(done))

    def remove(self, store: str | None, uris: Sequence[str], http: gr.Request) -> tuple[Any, ...]:
        with error_toasts():
            gone = self.stores.remove(store, list(uris), http)
        return self.shown(store, http, f"{answer_html.counted(gone, 'document')} removed")

    def make(self, name: str, http: gr.Request) -> tuple[Any, str]:
        with error_toasts():
            made = self.stores.make(name, http)
        return gr.update(choices=self.stores.names(http), value=made), ""

    def delete(self, store: str | None, sure: bool, http: gr.Request) -> tuple[Any, bool]:
        with error_toasts():
            if not sure:
                raise BadRequest(f"store {store} is not deleted: say that you are sure, it cannot be undone")
            self.stores.delete(store or self.stores.default, http)
        return gr.update(choices=self.stores.names(http), value=self.stores.default), False

    def watch(self, store: str | None, folder: str, http: gr.Request) -> tuple[str, Any]:
        """Begins to watch the folder, or ends it."""
        folder = str(Path(folder.strip()).expanduser()) if folder.strip() else ""
        with error_toasts():
            if folder in self.stores.watched(store):
                self.stores.unwatch(store, folder)
                return self.watched(store, folder, ended=folder)
            self.stores.watch(store, folder, http, gr.Warning)
        return self.watched(store, folder)

    def watched(self, store: str | None, folder: str, ended: str = "") -> tuple[str, Any]:
        """What is watched, and what the button does with the folder."""
        found = [one for one in self.stores.watched(store) if one != ended]
        items = "".join(f"<li>{escape(one)}</li>" for one in found)
        watching = str(Path(folder.strip()).expanduser()) in found
        told = f"<p class='facts'>Watched:</p><ul class='notes'>{items}</ul>" if items else ""
        return told, "Stop watching" if watching else "Watch"
