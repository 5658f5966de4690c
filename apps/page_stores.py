"""The stores that a page offers: made, filled, watched, emptied and deleted there. Knows who may; not how answers are found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen.errors import BadRequest, MmgenError, NotFound
from mmgen.library import folder_watch, page_images
from mmgen.library.document_library import DocumentLibrary
from mmgen.library.store_handle import shown
from mmgen.library.store_pool import StorePool
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime
from mmgen.stores.documents import DocumentSummary

from .sessions import caller_of

DATABASE = "store.sqlite"


class PageStores:
    """Stores of the home directory by name, and the one that the page was started with."""

    def __init__(self, rt: Runtime, default: str | None, *, local: bool, pool: StorePool | None = None) -> None:
        """
        Args:
            default: name or path of the store that is chosen first; None: the configured one.
            local: the page serves the owner of this machine alone, whose folders can be watched.
            pool: of the server that the page is part of.
        """
        given = str(default or rt.config.store or "default")
        self.rt, self.local, self.default = rt, local, shown(given)
        self._addresses = {self.default: given}  # with a password, where there is one
        self.pool = pool or StorePool(rt)
        self._opened: dict[str, RagText] = {}
        self._watched: dict[tuple[str, str], threading.Event] = {}
        self._guard = threading.Lock()

    def names(self, http: gr.Request | None = None) -> list[str]:
        """Those that the visitor may use; the default one is among them before it is made."""
        caller = caller_of(http)
        found = [self.default, *(name for name in self.pool.names() if name != self.default)]
        return [name for name in found if caller is None or caller.stores is None or name in caller.stores]

    def rag(self, name: str | None, http: gr.Request, scope: str = "stores") -> RagText:
        """Raises NotFound for a store that the page does not offer, Forbidden for one that the key may not use."""
        name = name or self.default
        if (caller := caller_of(http)) is not None:
            caller.check(scope)
        if name not in self.names(http):
            raise NotFound(f'there is no store "{name[:100]}"; make it first')
        return self.opened(name)

    def opened(self, name: str) -> RagText:
        """Once for all visitors, whoever may use it."""
        with self._guard:
            if name not in self._opened:
                self._opened[name] = RagText(self.rt, store=self._addresses.get(name, name))
            return self._opened[name]

    def library(self, name: str | None, http: gr.Request, scope: str = "stores") -> DocumentLibrary:
        return self.rag(name, http, scope).library

    def documents(self, name: str | None, http: gr.Request) -> list[DocumentSummary]:
        """Empty for a store that is not made yet."""
        library = self.library(name, http)
        try:
            return list(library.readable().documents())
        except NotFound:
            return []

    def version(self, name: str | None, http: gr.Request) -> tuple[int, ...]:
        """Another one after every change, whoever made it."""
        try:
            library = self.library(name, http)
            if library.handle.remote:
                return (library.readable().commits(),)  # type: ignore[attr-defined]
        except MmgenError:
            return ()
        folder = library.path
        files = (folder / DATABASE, folder / f"{DATABASE}-wal")
        return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in files)

    def make(self, name: str, http: gr.Request) -> str:
        """A new, empty store. Raises Clash where the name is taken, BadRequest where it is none."""
        name = name.strip()
        if (caller := caller_of(http)) is not None:
            caller.check("stores:write", name)
        self.pool.make(name, None)
        return name

    def delete(self, name: str, http: gr.Request) -> None:
        """With all its documents. Raises BadRequest for a store at a path of the user's own."""
        self.rag(name, http, "stores:write")
        if name not in self.pool.names():
            raise BadRequest(f"store {name} is not in the home directory; remove its folder with your own tools")
        for watched, folder in list(self._watched):
            if watched == name:
                self.unwatch(name, folder)
        with self._guard:
            self._opened.pop(name).close()
        self.pool.delete(name)

    def remove(self, name: str | None, uris: list[str], http: gr.Request) -> int:
        """Documents and images by their names; returns how many went."""
        library = self.library(name, http, "stores:write")
        store, gone = library.writable(make=False), 0
        for uri in uris:
            id = store.id_of(uri)
            content = "" if id is None else store.document(id).content_hash
            gone += bool(store.remove(uri))
            if id is not None and all(one.id != id for one in store.documents()):  # it had no other name
                page_images.forget(library, content)
            if store.images is not None:
                gone += bool(store.images.remove(uri)) if uri in store.images.sources() else 0
        return gone

    def watched(self, name: str | None) -> list[str]:
        """Folders that are watched for the store."""
        return [folder for store, folder in self._watched if store == (name or self.default)]

    def watch(self, name: str | None, folder: str, http: gr.Request, told: Callable[[str], Any]) -> None:
        """Keeps the store as the folder is, until `unwatch` or the end of the process. `told`: of what fails."""
        if not self.local:
            raise BadRequest("folders are watched by the owner of the machine: mmgen rag watch FOLDER")
        path = Path(folder.strip()).expanduser()
        if not folder.strip() or not path.is_dir():
            raise NotFound(f"{folder.strip() or 'no folder'} is no folder here; give one, such as ~/notes")
        library, key = self.library(name, http), (name or self.default, str(path))
        if key in self._watched:
            raise BadRequest(f"{path} is watched already")
        stop = self._watched[key] = threading.Event()

        def run() -> None:
            try:
                for _ in folder_watch.watch(library, [path], stop=stop):
                    pass
            except MmgenError as why:
                told(str(why))
            finally:
                self._watched.pop(key, None)

        threading.Thread(target=run, name="mmgen-watch", daemon=True).start()

    def unwatch(self, name: str | None, folder: str) -> None:
        if (stop := self._watched.get((name or self.default, folder))) is not None:
            stop.set()
