"""Workers stay warm from document to document, are replaced when they are lost, and end with their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from mmgen.errors import UnreadableFile
from mmgen.ingest import extractors, loaders
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction import pool
from mmgen.ingest.extraction.limits import ROOM, ExtractionLimits
from mmgen.ingest.extraction.pool import WorkerPool, extract
from mmgen.ingest.extraction.worker import ExtractionTask

PATH = Path("a.txt")


@pytest.fixture
def workers() -> Iterator[WorkerPool]:
    workers = WorkerPool()
    yield workers
    workers.close()


def process(workers: WorkerPool) -> int:
    _, _, metadata, _ = workers.run(ExtractionTask("hostile_extractors:whole", {}, "a.txt", b""), lambda: None)
    return int(metadata["process"])


def test_one_worker_for_one_document_after_another(workers: WorkerPool) -> None:
    first = process(workers)
    assert process(workers) == first != os.getpid()
    os.kill(first, signal.SIGKILL)
    workers.idle[0].process.wait()
    assert process(workers) != first, "one that was lost is replaced"


def test_documents_at_once_have_a_worker_each(workers: WorkerPool) -> None:
    def hang() -> None:
        with pytest.raises(Unreadable):
            workers.run(ExtractionTask("hostile_extractors:hangs", {}, "", b"", ExtractionLimits(0.8)), lambda: None)

    slow = threading.Thread(target=hang)
    slow.start()
    began = time.monotonic()
    process(workers)
    assert slow.is_alive() and time.monotonic() - began < 0.7
    slow.join()


def test_ours_run_elsewhere_and_plugins_here() -> None:
    here: list[int] = []

    def plugin(path: Path, data: bytes) -> tuple[str, tuple[int, ...], dict[str, object]]:
        here.append(os.getpid())
        return "x" * 2 * ROOM, (), {}

    assert len(extract(plugin, PATH, b"")[0]) == ROOM and here == [os.getpid()]
    pool.pool.close()
    assert extract(partial(extractors.plain), PATH, b"text")[0] == "text"
    assert len(pool.pool.idle) == 1


def test_a_file_beyond_its_limits_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" + "1," * 10**6 + "1]")
    with pytest.raises(UnreadableFile, match=r"a\.json needs more memory to be read than the limit of 47 MB"):
        loaders.load(path, limits=ExtractionLimits(memory=2**24))


def test_a_worker_ends_with_its_parent() -> None:
    code = (
        "import threading, time; from mmgen.ingest.extraction.worker import *; w = ExtractionWorker();"
        "task = ExtractionTask('hostile_extractors:hangs', {}, '', b''), lambda: None;"
        "threading.Thread(target=w.run, args=task).start(); print(w.process.pid, flush=True)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert not psutil.wait_procs([worker], timeout=10)[1]
