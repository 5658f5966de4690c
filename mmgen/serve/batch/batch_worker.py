"""Answers the lines of batches, some at a time, in the scheduler's class `batch`: everybody else goes first.

A line's outcome is stored in one transaction. After a kill -9 the next server goes on with the lines that have none; of
servers that share the batches, another one does when the lease of the killed one has ended.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from mmgen.errors import Busy, Cancelled, Closed, Stuck
from mmgen.serve.batch import batch_calls
from mmgen.stores.batches import LEASE_S, BatchLine, BatchStore, StoredBatch

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)
TOGETHER = 8
"""Lines under way at once: they share forward passes."""
TURN = 64
"""Lines of a batch before the next one's turn."""
PAUSE_S = 1.0
"""Before the next look, where there was nothing to do or no room."""
IDLE_S = 30.0
"""The same where no batch is under way: another server that shares them may have ended."""


class BatchWorker:
    """A thread that is there while the server is."""

    def __init__(self, app: FastAPI, store: BatchStore) -> None:
        self.app, self.store = app, store
        self.told: Callable[[StoredBatch, BatchLine, int, str], None] = lambda *answered: None  # for the audit log
        self._woken, self._ended = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="mmgen-batches", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    def stop(self) -> None:
        """Begins nothing more."""
        self._ended.set()
        self._woken.set()

    def join(self) -> None:
        """Waits for the lines under way, which whoever ends the server cancels."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(TOGETHER, "mmgen-batch") as pool:
            while not self._ended.is_set():
                self._woken.clear()
                pause = PAUSE_S
                try:
                    batches = self.store.under_way()
                    worked = [self._advance(batch, pool) for batch in batches]
                    if any(worked):
                        continue
                    pause = PAUSE_S if batches else IDLE_S
                    self.store.forget()
                except Exception as why:  # the disk, another process, a fault of ours: the lines stay open
                    log.warning("batches wait", exc_info=why)
                self._woken.wait(pause)

    def _advance(self, batch: StoredBatch, pool: ThreadPoolExecutor) -> bool:
        """Answers some of its lines, so that the next batch has its turn; whether there was something to do."""
        if not self.store.claim(batch.id):
            return False
        status, expires = self.store.state(batch.id)
        late = self.store.now() > expires
        lines = [] if late or status == "cancelling" else self.store.open_lines(batch.id, TURN)
        if not lines:
            self._end(batch, status, late)
            return True
        answered = [pool.submit(self._answer, batch, line) for line in lines]
        open_ones: set[Future[bool]] = set(answered)
        while open_ones := wait(open_ones, timeout=LEASE_S / 4).not_done:
            self.store.claim(batch.id)
        results = [one.result() for one in answered]  # raises what one raised
        return any(results)

    def _answer(self, batch: StoredBatch, line: BatchLine) -> bool:
        """Whether it has its outcome; False: it is to be tried again."""
        if self._ended.is_set() or self.store.state(batch.id)[0] == "cancelling":
            return False
        try:
            status, body, id = batch_calls.called(self.app, batch.user, batch.endpoint, line.body)
        except (Busy, Cancelled, Closed, Stuck):
            return False
        self.told(batch, line, status, id)
        response = {"status_code": status, "request_id": id, "body": body}
        self.store.finish(line, outcome(line, response=response), failed=status >= 400)
        return True

    def _end(self, batch: StoredBatch, status: str, late: bool) -> None:
        """Lines that are still open are told as errors, so that each line has one outcome."""
        cancelled = status == "cancelling"
        code = "batch_cancelled" if cancelled else "batch_expired"
        error = {"code": code, "message": f"not begun before its batch {'was cancelled' if cancelled else 'expired'}"}
        left = self.store.open_lines(batch.id, batch.total)
        for line in left:
            self.store.finish(line, outcome(line, error=error), failed=True)
        self.store.end(batch.id, "cancelled" if cancelled else "expired" if late and left else "completed")


def outcome(
    line: BatchLine, response: Mapping[str, Any] | None = None, error: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A line of the batch's output, as OpenAI has it."""
    return {"id": f"batch_req_{secrets.token_hex(12)}", "custom_id": line.custom_id, "response": response, "error": error}
