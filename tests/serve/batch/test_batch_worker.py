"""The thread that answers batches, with a stand-in for the routes."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import Cancelled
from mmgen.serve.batch import batch_calls, batch_worker
from mmgen.serve.batch.batch_worker import BatchWorker
from mmgen.serve.errors import RetryLater
from mmgen.stores.batches import BatchStore

APP: Any = None


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchStore]:
    monkeypatch.setattr(batch_worker, "PAUSE_S", 0.01)
    opened = BatchStore(tmp_path / "batches.db")
    yield opened
    opened.close()


def until(done: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def ended(worker: BatchWorker) -> None:
    worker.stop()
    worker.join()


def made(store: BatchStore, lines: int, window_s: float = 60) -> str:
    return store.add("ann", "/v1/embeddings", "file-1", [(str(n), {"n": n}) for n in range(lines)], {}, window_s).id


def test_lines_are_answered_and_errors_are_theirs(store: BatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def called(app: Any, user: str, endpoint: str, body: Any) -> tuple[int, dict[str, Any], str]:
        tried.append(body["n"])
        if body["n"] == 2 and tried.count(2) < 3:
            raise RetryLater("full")
        return (400, {"error": {}}, "") if body["n"] == 3 else (200, {"n": body["n"]}, "r")

    monkeypatch.setattr(batch_calls, "called", called)
    worker = BatchWorker(APP, store)
    worker.start()
    one, other = made(store, 5), made(store, 1)
    worker.wake()
    until(lambda: not store.under_way())
    ended(worker)
    found = store.batch("ann", one)
    assert (found.status, found.completed, found.failed) == ("completed", 4, 1) and store.batch("ann", other).completed == 1
    told = [json.loads(line) for line in b"".join(store.outcomes(one, False)).splitlines()]
    assert [(line["custom_id"], line["response"]["body"]["n"]) for line in told] == [("0", 0), ("1", 1), ("2", 2), ("4", 4)]
    assert sorted(tried) == [0, 0, 1, 2, 2, 2, 3, 4]


def test_what_a_shutdown_cuts_is_done_anew(store: BatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()

    def cut(app: Any, user: str, endpoint: str, body: Any) -> Any:
        begun.set()
        go.wait(20)
        raise Cancelled("the server ends")

    monkeypatch.setattr(batch_calls, "called", cut)
    id = made(store, 20)
    first = BatchWorker(APP, store)
    first.start()
    assert begun.wait(20)
    first.stop()
    go.set()
    first.join()
    assert len(store.open_lines(id, 100)) == 20
    monkeypatch.setattr(batch_calls, "called", lambda *given: (200, {}, ""))
    second = BatchWorker(APP, store)
    second.start()
    until(lambda: not store.under_way())
    ended(second)
    assert store.batch("ann", id).completed == 20


def test_late_and_cancelled_lines_are_told(store: BatchStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_calls, "called", lambda *given: (200, {}, ""))
    late, left = made(store, 2, window_s=-1), made(store, 2)
    store.cancel("ann", left)
    worker = BatchWorker(APP, store)
    worker.start()
    until(lambda: not store.under_way())
    ended(worker)
    for id, status, code in ((late, "expired", "batch_expired"), (left, "cancelled", "batch_cancelled")):
        assert store.batch("ann", id).status == status
        assert [json.loads(line)["error"]["code"] for line in b"".join(store.outcomes(id, True)).splitlines()] == [code] * 2
