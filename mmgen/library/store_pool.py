"""The stores of the home directory and of the configuration by name, each opened once and shared by all requests."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest, Clash, MmgenError, NotFound
from mmgen.library.document_library import DocumentLibrary
from mmgen.stores.keys import STORE

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

LONGEST = 200
"""Bytes of a name, the limit of file systems."""


class StorePool:
    """Opening and deleting are serialized; requests on a deleted store fail with Closed."""

    def __init__(self, rt: Runtime) -> None:
        self.rt, self.folder = rt, rt.home / "stores"
        self._libraries: dict[str, DocumentLibrary] = {}
        self._guard = threading.Lock()

    def names(self) -> list[str]:
        """Those of the home directory, and those that the configuration names."""
        found = {path.parent.name for path in self.folder.glob("*/store.sqlite")} | set(self.rt.config.stores)
        return sorted(name for name in found if STORE.fullmatch(name))

    @contextmanager
    def opened(self, name: str) -> Iterator[DocumentLibrary]:
        """A store that exists. Errors name the store, not its path."""
        place = self._place(name)
        with self._guard:
            if name not in self.rt.config.stores and not (place / "store.sqlite").is_file():
                raise NotFound(f'there is no store "{name}"; make it with POST /v1/stores')
            library = self._library(name)
        with named(library.name, name):
            yield library

    def make(self, name: str, encoder: str | None) -> None:
        """A new, empty store of that encoder's vectors. Raises Clash where the name is taken."""
        place, reference = self._place(name), encoder or self.rt.config.encoder
        self.rt.encoder(reference)  # loaded outside the lock
        with self._guard, named(str(place), name):
            if place.exists() or name in self.rt.config.stores:
                raise Clash(f'there is a store "{name}" already; add to it, or choose another name')
            made = DocumentLibrary.open(self.rt, name, encoder=reference)
            made.writable()
            self._libraries[name] = made

    def delete(self, name: str) -> None:
        """Raises NotFound. Running requests on it fail."""
        place = self._place(name)
        if name in self.rt.config.stores:
            raise BadRequest(f'store "{name}" is one that the configuration names; whoever runs the server can delete it')
        with self._guard:
            if not (place / "store.sqlite").is_file():
                raise NotFound(f'there is no store "{name}"')
            if (library := self._libraries.pop(name, None)) is not None:
                library.close()
            gone = place.with_name(f".{secrets.token_hex(8)}.deleted")
            place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def close(self) -> None:
        with self._guard:
            for library in self._libraries.values():
                library.close()
            self._libraries.clear()

    def _library(self, name: str) -> DocumentLibrary:
        if name not in self._libraries:
            self._libraries[name] = DocumentLibrary.open(self.rt, name)
        return self._libraries[name]

    def _place(self, name: str) -> Path:
        return self.folder / checked(name)


def checked(name: str) -> str:
    """Validates a bare name, never a path. Raises BadRequest."""
    if not STORE.fullmatch(name) or len(name.encode()) > LONGEST:
        raise BadRequest(f"store {name[:100]!r} is no name; give letters, digits, dots and dashes, such as notes")
    return name


@contextmanager
def named(place: str, name: str) -> Iterator[None]:
    """Replaces the store's path, or address, by its name in error messages."""
    try:
        yield
    except MmgenError as why:
        if place not in str(why):
            raise
        raise type(why)(str(why).replace(place, name)) from None
