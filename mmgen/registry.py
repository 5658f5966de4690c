"""Names to "module:attribute", imported on use. Knows who registered a name; not what it is good for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from mmgen.deprecated import attributes
from mmgen.errors import Clash, NotFound, PluginError, nearest

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
COMMANDS = frozenset({
    "rag", "train", "quantize", "scaling-law", "embed", "data", "doctor", "plugins", "pipelines", "models", "show", "reproduce",
    "web", "serve", "keys", "history", "simulate", "top", "image", "zero-shot", "pull", "rm", "eval", "tune", "reward", "store",
    "merge", "explain",
})  # fmt: skip
"""What `mmgen` has of its own; a pipeline becomes a command, so it cannot be called like one of them."""


@dataclass(frozen=True)
class RegistryEntry:
    """One registered name."""

    name: str
    target: str  # "module:attribute"
    owner: str  # the plugin that registered it
    summary: str = ""  # one line


@dataclass(frozen=True)
class PluginInfo:
    """What became of a plugin."""

    name: str
    version: str
    status: Literal["ok", "off", "failed"]  # off: MMGEN_PLUGINS does not name it
    error: str = ""  # one line, when failed
    registered: tuple[str, ...] = ()  # such as "pipelines/pixel-art"


def one_line(error: BaseException) -> str:
    """An exception's kind and message on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def import_target(target: str, what: str) -> Any:
    """The attribute behind "module:attribute". Raises PluginError, which begins with `what`, if it has none."""
    module, _, path = target.partition(":")
    try:
        found: Any = import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except (Exception, SystemExit) as why:  # a module of somebody else's can fail in any way
        raise PluginError(f"{what} cannot be imported from {target} ({one_line(why)}); repair or uninstall it") from why
    return found


class Table:
    """The names of one kind."""

    def __init__(self, kind: str, owner: str, reserved: frozenset[str] = frozenset()) -> None:
        self.kind, self.owner, self.reserved = kind, owner, reserved
        self._entries: dict[str, RegistryEntry] = {}

    def add(self, name: str, target: str, summary: str = "") -> None:
        """Registers `name`; nothing is imported. Raises Clash for a name in use, PluginError for a malformed one."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(f"{self.kind} {name!r} of {self.owner}: names are lowercase words joined by dashes")
        if not isinstance(target, str) or not TARGET.fullmatch(target):
            raise PluginError(f'{self.kind} "{name}" of {self.owner}: {target!r} is not of the form "module:attribute"')
        entry = RegistryEntry(name, target, self.owner, " ".join(summary.split()))
        self.check(entry)
        self._entries[name] = entry

    def check(self, entry: RegistryEntry) -> None:
        """Raises Clash if `entry` cannot be put in."""
        if entry.name in self.reserved:
            raise Clash(f'{self.kind} "{entry.name}" of {entry.owner} would hide a command of mmgen; rename it')
        if (held := self._entries.get(entry.name)) is not None:
            raise Clash(f'{self.kind} "{entry.name}" of {entry.owner} is already registered by {held.owner}; rename it')

    def absorb(self, other: Table) -> None:
        self._entries.update(other._entries)

    def entry(self, name: str) -> RegistryEntry:
        """Raises NotFound for an unknown name."""
        if name not in self._entries:
            known = self.names()
            hint = nearest(name, known) or (f" (known: {', '.join(known)})" if known else " (none is registered)")
            raise NotFound(f'there is no {self.kind} "{name}"{hint}')
        return self._entries[name]

    def get(self, name: str) -> Any:
        """Imports and returns the attribute. Raises NotFound, or PluginError when it cannot be imported."""
        entry = self.entry(name)
        return import_target(entry.target, f'{self.kind} "{name}" of {entry.owner}')

    def names(self) -> list[str]:
        return list(self._entries)

    def __iter__(self) -> Iterator[RegistryEntry]:
        return iter(self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)


@attributes(picture_encoders="image_encoders")
class Registry:
    """A table for every kind of thing that a plugin can bring."""

    def __init__(self, owner: str) -> None:
        self.plugins: list[PluginInfo] = []  # written by plugins.py
        self.pipelines = Table("pipeline", owner, reserved=COMMANDS)
        self.text_models = Table("text model", owner)
        self.encoders = Table("encoder", owner)
        self.cross_encoders = Table("cross-encoder", owner)
        self.readers = Table("reader", owner)
        self.denoisers = Table("denoiser", owner)
        self.image_encoders = Table("image encoder", owner)
        self.stores = Table("store", owner)
        self.rerankers = Table("reranker", owner)
        self.runners = Table("runner", owner)
        self.policies = Table("policy", owner)
        self.loaders = Table("loader", owner)

    def tables(self) -> dict[str, Table]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Table)}

    def absorb(self, other: Registry) -> None:
        """Takes over every name of `other`, or raises Clash and takes none."""
        mine, theirs = self.tables(), other.tables()
        for kind, table in theirs.items():
            for entry in table:
                mine[kind].check(entry)
        for kind, table in theirs.items():
            mine[kind].absorb(table)

    if not TYPE_CHECKING:  # mypy knows the tables; a plugin's author who mistypes one is told the nearest

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"the registry has no table {name!r}{nearest(name, list(self.tables()))}")
