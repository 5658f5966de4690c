"""What a store holds, by the end of its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmgen.errors import BadRequest, NotFound


def one_of(known: Sequence[str], name: str, noun: str, store: str | Path, group: str) -> str:
    """The one that is `name` or ends with it, of the paths that `mmgen GROUP list` shows."""
    absolute = str(Path(name).absolute())
    found = [uri for uri in known if uri in (name, absolute)] or [uri for uri in known if uri.endswith("/" + name.lstrip("/"))]
    if not found:
        raise NotFound(f"no {noun} {name!r} in store {store}; `mmgen {group} list` names all {len(known)}")
    if len(found) > 1:
        raise BadRequest(f"{name!r} fits {len(found)} {noun}s, {found[0]} and {found[1]} among them; write more of the path")
    return found[0]
