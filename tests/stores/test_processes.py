"""Several processes over one store: one writes, others read; writers take turns."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mmgen.errors import Busy
from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore

CHILD = """
import sys
import numpy as np
from pathlib import Path
from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore

path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
with DocumentStore(path, encoder="tiny", dimension=8, timeout=30) as store:
    for number in range(count):
        vectors = np.random.default_rng(number).normal(size=(2, 8)).astype(np.float32)
        text = f"Tea {name} {number}."
        document = Document(f"/{name}/{number}", f"{text} Sea.", "text", "h")
        end = len(text)
        store.add(document, [Passage(text, 0, end), Passage("Sea.", end + 1, end + 5)], vectors)
"""

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.readline()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs code that prints a first line when it is ready and goes on when it is sent one; ends what is left of it."""
    with contextlib.ExitStack() as stack:

        def run(code: str, *arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", code, *map(str, arguments)]
            child = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            stack.callback(child.kill)
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            return child

        yield run


def go(*children: subprocess.Popen[str]) -> None:
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()


def test_writers_make_one_store_and_take_turns_while_others_read(tmp_path: Path, start: Start) -> None:
    children = [start(CHILD, tmp_path / "s", name, 60) for name in ("one", "two", "three")]
    go(*children)
    while not (tmp_path / "s" / "store.sqlite").exists():
        time.sleep(0.001)
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=8, timeout=30) as store:
        counts = [store.count()]
        while any(child.poll() is None for child in children):
            counts.append(store.count())
            ids = store.search_many(np.ones((2, 8), np.float32), 1000)[1]
            assert len(store.search("tea", np.ones(8, np.float32))) >= min(5, counts[-1] // 2)
            assert ids.shape[1] >= counts[-1]
        assert [child.communicate() and child.returncode for child in children] == [0, 0, 0]
        assert all(count % 2 == 0 for count in counts) and counts == sorted(counts), "whole documents, and more and more"
        assert store.count() == 360
        assert np.unique(store.search_many(np.ones((1, 8), np.float32), 1000)[1]).tolist() == list(range(1, 361))


def test_a_writer_in_another_process_is_waited_for_or_named(tmp_path: Path, start: Start) -> None:
    """Reading meanwhile takes a second connection; opening it must not cost the first one its locks."""
    one = Document("/a", "Tea.", "text", "h"), [Passage("Tea.", 0, 4)], np.ones((1, 8), np.float32)
    with DocumentStore(tmp_path / "s", encoder="tiny", dimension=8, timeout=0.1) as store:
        child = start(CHILD, tmp_path / "s", "other", 1)
        with store._database.transaction():
            go(child)
            time.sleep(0.3)
            assert child.poll() is None and store.uris() == []
        child.communicate()
        assert child.returncode == 0 and store.uris() == ["/other/0"]
        holder = start(HOLDER, store.file)
        with pytest.raises(Busy, match="is being written by another process; try again when it is done"):
            store.add(*one)
        assert store.uris() == ["/other/0"], "reading goes on"
        holder.communicate("\n")
        assert store.add(*one) == 2
