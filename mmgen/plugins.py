"""Finds plugins by the entry points of the group "mmgen.plugins" and absorbs each whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from mmgen.errors import Clash, MmgenError, PluginError, nearest
from mmgen.registry import PluginInfo, Registry, one_line

GROUP = "mmgen.plugins"
BUILTIN = EntryPoint("builtin", "mmgen.builtin:register", GROUP)


def load_plugins(allow: Collection[str] | None = None) -> Registry:
    """A registry of everything that is installed; what became of each plugin stands in its `plugins`.

    `allow` names the plugins to load beside our own; None asks MMGEN_PLUGINS (comma-separated), which unset means all.
    A plugin that fails in whatever way is recorded with its error and changes nothing else.
    """
    if allow is None:
        allow = _allowed()
    merged = Registry("mmgen")
    others = sorted((p for p in entry_points(group=GROUP) if p.value != BUILTIN.value), key=lambda p: p.name)
    for point in (BUILTIN, *others):
        if point is not BUILTIN and allow is not None and point.name not in allow:
            merged.plugins.append(PluginInfo(point.name, _version(point), "off"))
        else:
            merged.plugins.append(_absorb(merged, point))
    for name in sorted(set(allow or ()) - {info.name for info in merged.plugins}):
        hint = nearest(name, [point.name for point in others])
        error = f"the list of plugins to load names it, but it is not installed{hint}"
        merged.plugins.append(PluginInfo(name, "", "failed", error))
    return merged


@cache
def registry() -> Registry:
    """This process's registry, loaded once."""
    return load_plugins()


def _allowed() -> set[str] | None:
    names = os.environ.get("MMGEN_PLUGINS")
    return None if names is None else {name.strip() for name in names.split(",") if name.strip()}


def _absorb(merged: Registry, point: EntryPoint) -> PluginInfo:
    """Registers into a registry of its own first, so that a plugin that fails halfway leaves nothing behind."""
    version = _version(point)
    staged = Registry(point.name)
    try:
        if any(info.name == point.name for info in merged.plugins):
            raise Clash(f'another installed package already brings a plugin "{point.name}"; uninstall one of the two')
        register = point.load()
        if not callable(register):
            raise PluginError(f"{point.value} is not a function; it should be register(mm)")
        register(staged)
        merged.absorb(staged)
    except KeyboardInterrupt:
        raise
    except BaseException as why:  # somebody else's code: SystemExit and the like included
        return PluginInfo(point.name, version, "failed", str(why) if isinstance(why, MmgenError) else one_line(why))
    names = [f"{kind}/{entry.name}" for kind, table in staged.tables().items() for entry in table]
    return PluginInfo(point.name, version, "ok", registered=tuple(names))


def _version(point: EntryPoint) -> str:
    if point.dist is not None:
        return point.dist.version or "?"
    from mmgen import __version__

    return __version__
