"""The heap is trimmed some time after jobs ran, once, and not after the engine has closed."""

import threading
from typing import Any

import pytest

from mmgen.engine.memory import heap_trimmer
from mmgen.engine.memory.heap_trimmer import HeapTrimmer


@pytest.fixture
def trimmed(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    calls = threading.Semaphore(0)
    monkeypatch.setattr(heap_trimmer, "malloc_trim", lambda: lambda kept: calls.release())
    return calls


def ran(trimmer: HeapTrimmer) -> None:
    trimmer.quantum((), 0.0, 1.0)


def test_once_in_a_while(trimmed: threading.Semaphore) -> None:
    trimmer = HeapTrimmer(0.01)
    for _ in range(2):
        ran(trimmer)
        timer = trimmer._timer
        ran(trimmer)  # one is enough
        assert timer is not None and trimmer._timer in (timer, None)
        assert trimmed.acquire(timeout=20)
        timer.join(20)
    trimmer.close()


def test_not_after_the_end(trimmed: threading.Semaphore) -> None:
    trimmer = HeapTrimmer(1000)
    ran(trimmer)
    timer: Any = trimmer._timer
    trimmer.close()
    timer.join(20)
    ran(trimmer)
    assert not timer.is_alive() and not trimmed.acquire(blocking=False) and trimmer._timer is timer


def test_where_the_c_library_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: None) -> object:
        return object()

    monkeypatch.setattr(heap_trimmer.ctypes, "CDLL", none)
    trimmer = HeapTrimmer(0.0)
    ran(trimmer)
    assert heap_trimmer.malloc_trim() is None and trimmer._timer is None


def test_glibcs_own_can_be_called() -> None:
    if (trim := heap_trimmer.malloc_trim()) is not None:
        assert trim(0) in (0, 1)
