"""A worker process reads documents, and its parent ends it when a document exceeds a limit or nobody waits any longer."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmgen.errors import Cancelled
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted, ExtractionLimits
from mmgen.ingest.extraction.worker import ExtractionTask, ExtractionWorker


@pytest.fixture
def worker() -> Iterator[ExtractionWorker]:
    worker = ExtractionWorker()
    yield worker
    worker.close()


def read(
    worker: ExtractionWorker, name: str, seconds: float = 30.0, check: Callable[[], None] = lambda: None, **more: Any
) -> Extracted:
    limits = ExtractionLimits(seconds, 2**28)
    task = ExtractionTask(f"hostile_extractors:{name}", more.pop("options", {}), "a.txt", b"text", limits)
    return worker.run(task, check, **more)


def test_documents_one_after_another(worker: ExtractionWorker) -> None:
    for ending in ("!", "?"):
        text, pages, metadata, _ = read(worker, "whole", options={"ending": ending})
        assert (text, pages, metadata["process"]) == (f"text{ending}", (0,), worker.process.pid)
    for name in ("refuses", "fails", "not_json"):
        with pytest.raises(Unreadable):
            read(worker, name)
    assert not worker.ended and read(worker, "whole")[0] == "text"


@pytest.mark.parametrize(
    ("name", "seconds", "words"),
    [
        ("hangs", 0.1, "takes longer to read than the limit of 0 s; split it, or raise document_s"),
        ("eats", 30.0, "needs more memory to be read than the limit of 256 MB; split it, or raise document_memory"),
        ("dies", 30.0, r"ended the process that reads it \(SIGSEGV\); save it anew"),
    ],
)
def test_a_document_beyond_a_limit(worker: ExtractionWorker, name: str, seconds: float, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(worker, name, seconds)
    assert worker.ended == (name != "eats")  # a refused allocation harms nothing


def test_steps_that_are_told_get_the_time_anew(worker: ExtractionWorker) -> None:
    steps: list[tuple[int, int]] = []
    assert read(worker, "tells", 0.4, progress=lambda *step: steps.append(step))[0] == "all pages"
    assert steps == [(page, 6) for page in range(1, 7)]


@pytest.mark.parametrize("why", [Cancelled("gone"), KeyboardInterrupt()])
def test_nobody_waits_any_longer(worker: ExtractionWorker, why: BaseException) -> None:
    def check() -> None:
        raise why

    began = time.monotonic()
    with pytest.raises(type(why)):
        read(worker, "hangs", check=check)
    assert worker.ended and time.monotonic() - began < 10
