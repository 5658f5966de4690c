"""One store by its name, path or address: which kind it is, where it lies, and opening it on first use. Knows no question."""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest, NotFound
from mmgen.models.encoders.prompts import Prompts, from_store

if TYPE_CHECKING:
    from mmgen.interfaces import Scalar, Store
    from mmgen.runtime import Runtime

MOST_HITS = 1000
DEFAULT_KIND = "documents"
"""The registry's name of our own store."""
PASSWORD = re.compile(r"(?<=://)(?P<user>[^/?#@:]*):[^/?#@]*(?=@)|(?<=[?&])[^=&#]*password=[^&#]*&?", re.IGNORECASE)


def locate(rt: Runtime, where: str | Path | None = None) -> tuple[str, Path]:
    """The kind of a store and its path.

    A bare name stands under the home's stores/, or is one that the configuration names; with a separator it is a path; None is
    the configured store. `KIND://` before it names a store of the registry; of one that has an address, the path is a folder
    for files that belong to it. Raises BadRequest for what is no name, NotFound for a kind that is not registered.
    """
    chosen = _chosen(rt, where)
    kind, _, name = str(chosen).partition("://") if "://" in str(chosen) else ("", "", str(chosen))
    kind = rt.registry.stores.entry(kind or DEFAULT_KIND).name
    if is_addressed(rt, kind):
        return kind, rt.home / "remote" / hashlib.sha256(shown(str(chosen)).encode()).hexdigest()[:16]
    if name.strip() in {"", ".", ".."} or "\0" in name:
        raise BadRequest(f"store {name!r} is no name; give a name such as notes, or a path such as ./notes")
    separated = isinstance(chosen, Path) or "/" in name or "\\" in name or name.startswith("~")
    return kind, Path(name).expanduser() if separated else rt.home / "stores" / name


def is_addressed(rt: Runtime, kind: str) -> bool:
    """Whether such stores have an address, on a server, instead of a path."""
    return kind != DEFAULT_KIND and bool(getattr(rt.registry.stores.get(kind), "addressed", False))


def _chosen(rt: Runtime, where: str | Path | None) -> str | Path:
    """What was asked for, or is configured; what the configuration has under that name."""
    chosen = (rt.config.store or "default") if where is None else where
    return rt.config.stores.get(chosen, chosen) if isinstance(chosen, str) else chosen


def shown(where: str) -> str:
    """A store as it may be shown: an address without its password."""
    return PASSWORD.sub(lambda found: found["user"] or "", where).rstrip("?&")


class StoreHandle:
    """Opens its store on first use: reading an absent store is an error, writing makes it."""

    def __init__(self, rt: Runtime, where: str | Path | None = None, *, encoder: str | None = None) -> None:
        """
        Args:
            where: see `locate`.
            encoder: reference for a new store; one that exists keeps to its own, and refuses another.
        """
        self.rt, self.encoder_reference = rt, encoder
        self.kind, self.path = locate(rt, where)
        self._address = str(_chosen(rt, where)) if is_addressed(rt, self.kind) else None
        prefix = "" if self.kind == DEFAULT_KIND else f"{self.kind}://"
        self.name = f"{prefix}{self.path}" if self._address is None else shown(self._address)  # for people, and for --store
        self._opening = threading.Lock()
        self._store: Store | None = None
        self._reading: Store | None = None

    @property
    def address(self) -> str | None:
        """Of a store on a server, with its password if it has one; never to be shown."""
        return self._address

    @property
    def remote(self) -> bool:
        """Whether it is on a server."""
        return self._address is not None

    def close(self) -> None:
        with self._opening:
            for store in (self._store, self._reading):
                if store is not None:
                    store.close()
            self._store = self._reading = None

    def writable(self, make: bool = True) -> Store:
        """The store for writing, made if need be and `make`; NotFound where there is none."""
        with self._opening:
            if self._store is None:
                try:
                    self._store = None if make and self.encoder_reference else self._open()
                except NotFound:
                    if not make:
                        raise
            if self._store is None:
                encoder = self.rt.encoder(self.encoder_reference)
                own = self.kind == DEFAULT_KIND or self._address is not None
                kept = {"prompts": encoder.prompts.sides()} if own else {}
                self._store = self._open(encoder=encoder.name, dimension=encoder.dimension, **kept)
            return self._store

    def made(self, encoder: str, dimension: int, **options: Any) -> Store:
        """The store for writing, made for vectors of that encoder where there is none."""
        with self._opening:
            if self._store is None:
                self._store = self._open(encoder=encoder, dimension=dimension, **options)
            return self._store

    def readable(self) -> Store:
        """The store as it is; NotFound with a remedy where there is none."""
        with self._opening:
            if self._store is not None:
                return self._store
            if self._reading is None:
                self._reading = self._open(readonly=True)
            return self._reading

    def filled(self) -> Store:
        """`readable`, with something in it; NotFound with a remedy if not."""
        store = self.readable()
        if store.empty():
            raise NotFound(f"store {self.name} is empty; add documents first: mmgen rag add PATH --store {self.name}")
        return store

    def _open(self, **options: Any) -> Store:
        store: Store = self.rt.registry.stores.get(self.kind)(self._address or self.path, **options)
        return store


def prompts_of(store: Store) -> Prompts | None:
    """What stood before the texts that filled a store, and belongs before its queries; None: the encoder's own."""
    kept = getattr(store, "prompts", None)
    return None if kept is None else from_store(kept)


def checked(metadata: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What a filter can find again."""
    for key, value in metadata.items():
        if not isinstance(value, str | int | float | bool) or (isinstance(value, float) and not math.isfinite(value)):
            raise BadRequest(f"metadata {key} is {value!r}; it can be a text, a finite number, true or false")
    return dict(metadata)
