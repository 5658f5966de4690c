"""Keeps a store as its folders are: waits for changes of files, and reads what changed. Knows a library; reads no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.library.document_indexing import Added
from mmgen.library.document_library import DocumentLibrary

if TYPE_CHECKING:
    from threading import Event

FIRST_MS = 200  # until the watcher is surely set up
IGNORE_FILES = (".gitignore", ".mmgenignore")


def watch(
    library: DocumentLibrary,
    paths: Sequence[Path],
    options: Mapping[str, Any] | None = None,
    *,
    debounce_ms: int = 1600,
    stop: Event | None = None,
) -> Iterator[Added]:
    """The report of a first reading of all, then one of each group of changes that did something.

    What vanished is removed; what was moved keeps its passages and gets its new name.

    Args:
        paths: files and folders; a store that lies in one of them is not watched.
        options: of `DocumentLibrary.add`.
        debounce_ms: changes that follow each other within that time are read together.
        stop: ends it.

    Raises what `DocumentLibrary.add` raises, but for a folder in which there is nothing to read, yet or any more.
    """
    from watchfiles import watch as changes_of

    store, given = library.path.resolve(), options or {}
    changes = changes_of(
        *paths,
        watch_filter=_filter(store),
        debounce=debounce_ms,
        stop_event=stop,
        rust_timeout=FIRST_MS,
        yield_on_timeout=True,
    )
    next(changes, None)  # from here on changes are noticed, those during the first reading too
    yield library.add(paths, sync=True, **given)
    for group in changes:
        changed = [Path(path) for _, path in group]
        if changed:
            report = library.add(paths, sync=True, only=None if _rules(changed) else _within(changed), **given)
            if report.changed:
                yield report


def _rules(changed: Sequence[Path]) -> bool:
    return any(path.name in IGNORE_FILES for path in changed)


def _within(changed: Sequence[Path]) -> Callable[[Path], bool]:
    """Whether a file is among the changed paths, or in a folder that is: one that was moved tells of itself alone."""
    found = {path.resolve() for path in changed}
    return lambda path: path in found or not found.isdisjoint(path.parents)


def _filter(store: Path) -> Any:
    from watchfiles import DefaultFilter

    usual = DefaultFilter()
    return lambda change, path: usual(change, path) and not Path(path).is_relative_to(store)
