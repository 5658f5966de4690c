"""The parent's side of one worker process: gives it a document, watches time and memory, ends it. Knows no file format."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import psutil

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction import frames
from mmgen.ingest.extraction.limits import MIB, Extraction, ExtractionLimits
from mmgen.ingest.extraction.progress import Progress
from mmgen.interfaces import PageLayout

POLL_S = 0.05
START_S = 120.0
GROWN = 384 * MIB  # bytes: a worker that kept so much after a document is not used again
BODY = 4  # bytes of a character in UTF-8, at most
HEADER = 64 * MIB  # bytes of an answer beside its text
CODE = "import sys; sys.path = {path!r}; from mmgen.ingest.extraction.child import main; main()"


@dataclass(frozen=True)
class ExtractionTask:
    """One document for a worker."""

    target: str  # the function that reads it, "module:name"
    options: Mapping[str, Any]  # its keyword arguments, in JSON's types
    path: str
    data: bytes = field(repr=False)
    limits: ExtractionLimits = field(default_factory=ExtractionLimits)


class ExtractionWorker:
    """Takes one document at a time. What it cannot read in its limits costs its process; then it is `ended`."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C of the terminal is for the parent, which then ends it
        )
        self.seen = psutil.Process(self.process.pid)
        self.most = 0  # bytes of an answer; written by `run`
        self.answers: SimpleQueue[tuple[dict[str, Any], bytes] | None] = SimpleQueue()
        threading.Thread(target=self._listen, name="mmgen-extraction", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def run(self, task: ExtractionTask, check: Callable[[], None], progress: Progress | None = None) -> Extraction:
        """What the task's function makes of the document.

        Args:
            check: called while waiting; what it raises ends the process and is raised here.
            progress: gets the steps that the extractor tells.

        Raises:
            Unreadable: by the extractor, or because it exceeds a limit or ended the process.
        """
        size, memory = len(task.data), task.limits.memory_for(len(task.data))
        self.most = HEADER + BODY * task.limits.characters_for(size)
        header = {"target": task.target, "options": task.options, "path": task.path, "memory": memory}
        try:
            with contextlib.suppress(BrokenPipeError):  # it died: the answer is None
                assert self.process.stdin is not None
                frames.send(self.process.stdin, header, task.data)
            answer, body = self._answer(task.limits.seconds_for(size), memory, check, progress)
        except BaseException:
            self.close()
            raise
        if self._memory() > GROWN:
            self.close()
        if "unreadable" in answer:
            raise Unreadable(answer["unreadable"])
        if answer.get("memory"):
            raise too_much_memory(memory)
        at, layout = 0, []
        for number, start, end, width, height, recognized, length in answer["layout"]:
            layout.append(PageLayout(number, start, end, width, height, recognized, body[at : at + length]))
            at += length
        return body[at:].decode("utf-8"), tuple(answer["pages"]), answer["metadata"], tuple(layout)

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # what was not flushed yet has no reader
                assert pipe is not None
                pipe.close()

    def _answer(
        self, seconds: float, memory: int, check: Callable[[], None], progress: Progress | None
    ) -> tuple[dict[str, Any], bytes]:
        ends = time.monotonic() + START_S
        while True:
            try:
                answer = self.answers.get(timeout=POLL_S)
            except Empty:
                check()
                if time.monotonic() > ends:
                    raise Unreadable(
                        f"takes longer to read than the limit of {seconds:.0f} s; split it, or raise document_s in config.yaml"
                    ) from None
                if self._memory() > memory:
                    raise too_much_memory(memory) from None
                continue
            if answer is None:
                raise Unreadable(f"ended the process that reads it ({self._end()}); save it anew")
            if "done" not in answer[0]:
                return answer
            ends = time.monotonic() + seconds
            if progress and answer[0]["of"]:
                progress(answer[0]["done"], answer[0]["of"])

    def _listen(self) -> None:
        """In its own thread: pipes have no reading with a timeout."""
        assert self.process.stdout is not None
        with contextlib.suppress(frames.BadFrame, OSError, ValueError):
            while (answer := frames.receive(self.process.stdout, lambda: self.most)) is not None:
                self.answers.put(answer)
        self.answers.put(None)

    def _memory(self) -> int:
        try:
            return int(self.seen.memory_info().rss)
        except psutil.Error:
            return 0  # it has ended

    def _end(self) -> str:
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "it sent no proper answer"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def too_much_memory(limit: int) -> Unreadable:
    return Unreadable(
        f"needs more memory to be read than the limit of {limit / MIB:.0f} MB; split it, or raise document_memory"
    )
