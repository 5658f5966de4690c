"""Calls that outlive a reload: each goes on in a thread of its own, and the page shows what it has brought so far."""

from __future__ import annotations

import contextvars
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from .sessions import Pages

Frame = tuple[Any, ...]
"""A value for each output of a call; gr.skip() leaves one as it is."""
Steps = Callable[[Path], Iterator[Frame]]
"""What a call shows, one after another. It may write files into the folder, which stays until the page's next call is done."""


class LiveRun:
    """One call, and the last value of each of its outputs."""

    def __init__(self, steps: Steps, before: LiveRun | None = None) -> None:
        """`before`: the page's last call, whose values stand until this one brings others."""
        self._folder = Path(tempfile.mkdtemp(prefix="mmgen-page-"))
        self._cleanup = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._before = before
        self._values: list[tuple[int, Any]] = []  # of each output: the number of the frame that brought it, and the value
        if before is not None:
            self._values = [(0, value) for _, value in before._values]
        self._frames, self._ended = 0, False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        context = contextvars.copy_context()  # Gradio's, by which warnings find the page
        threading.Thread(target=context.run, args=(self._run, steps), name="mmgen-page", daemon=True).start()

    def follow(self, seen: int = 0) -> Iterator[Frame]:
        """What came after the frame `seen` in one, then what comes; -1: also what stood before. Raises what the call raised."""
        while True:
            with self._changed:
                while not (self._frames > seen or self._ended):
                    self._changed.wait()
                frame = tuple(value if number > seen else gr.skip() for number, value in self._values)
                new, seen, ended = self._frames > seen, self._frames, self._ended
            if new and frame:
                yield frame
            if ended:
                if self._error is not None:
                    raise self._error
                return

    def _run(self, steps: Steps) -> None:
        try:
            for frame in steps(self._folder):
                with self._changed:
                    self._frames += 1
                    before = self._values or [(0, gr.skip())] * len(frame)
                    self._values = [
                        old if value == gr.skip() else (self._frames, value)
                        for old, value in zip(before, map(_plain, frame), strict=True)
                    ]
                    self._changed.notify_all()
            self._before = None  # with the files that it wrote
        except BaseException as why:  # told where it is followed
            self._error = why
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


class LiveRuns:
    """The last call of each page, in one tab."""

    def __init__(self, pages: Pages, outputs: int) -> None:
        """`outputs`: how many a call has."""
        self.pages, self._outputs, self._runs = pages, outputs, dict[str, LiveRun]()
        self._guard = threading.Lock()
        pages.when_gone(self._forget)

    def start(self, http: gr.Request, steps: Steps) -> Iterator[Frame]:
        """Runs a call and follows it. Who stops following ends nothing."""
        page = self.pages.page(http)
        with self._guard:
            run = self._runs[page] = LiveRun(steps, self._runs.get(page))
        yield from run.follow()

    def resume(self, http: gr.Request) -> Iterator[Frame]:
        """For a page that was reloaded: what its last call has brought, and what is still to come."""
        run = self._runs.get(self.pages.page(http))
        if run is None:
            yield (gr.skip(),) * self._outputs
        else:
            yield from run.follow(-1)

    def _forget(self, page: str) -> None:
        with self._guard:
            self._runs.pop(page, None)


def _plain(value: Any) -> Any:
    """A copy of a list, which the call may go on filling."""
    return list(value) if isinstance(value, list) else value
