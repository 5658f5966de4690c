"""A process that is really killed in the middle of adding: what it acknowledged is there, and nothing by halves."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmgen.stores.documents import DocumentStore

CHILD = """
import sys
import numpy as np
from pathlib import Path
from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore

path, first = Path(sys.argv[1]), int(sys.argv[2])
vector = np.full((3, 8), 8**-0.5, dtype=np.float32)

def document(uri, number):
    text = f"Tea {number:07}. " * 3
    return Document(uri, text, "text", "h"), [Passage(text[i : i + 12], i, i + 12) for i in (0, 13, 26)], vector

print("ready", flush=True)
store = DocumentStore(path, encoder="tiny", dimension=8)
for number in range(first, first + 100_000):
    store.add_many([document(f"/{number}", number), document("/updated", number)])
    print(number, flush=True)
    if number % 7 == 0:
        store.refresh()
"""


def check(path: Path, acknowledged: set[int], kills: int) -> None:
    """The store opens, holds what was told and at most one commit more for each kill, all of it whole."""
    with DocumentStore(path, encoder="tiny", dimension=8) as store:
        stored = {int(uri[1:]) for uri in store.uris() if uri != "/updated"}
        assert acknowledged <= stored
        assert len(stored - acknowledged) <= kills
        assert {summary.passages for summary in store.documents()} <= {3}
        if not stored:
            return
        newest = f"Tea {max(stored):07}."
        assert store.document("/updated").text == f"{newest} " * 3
        found = store.search(f"tea {max(stored):07}", store.vectors([store.search("tea", method="bm25")[0].passage_id])[0], k=6)
        assert found[0].passage.text == newest
        assert {found[0].uri, *found[0].copies} == {"/updated", f"/{max(stored)}"}, "both say the same: one is a copy"
        assert len(store.search_many(store.vectors([found[0].passage_id]), 1000)[1][0]) == min(1000, store.count())


def killed(path: Path, first: int, moment: Callable[[], None]) -> set[int]:
    """What a process said it had stored before it was killed at that moment."""
    command = [sys.executable, "-c", CHILD, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
            moment()
        finally:
            child.send_signal(signal.SIGKILL)
        return {int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")}


def kill_often(path: Path, kills: int) -> None:
    rng, acknowledged = random.Random(kills), set[int]()
    for kill in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(kill * 100_000)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        if kill % 2:  # in the middle of adding, however slow the machine is
            acknowledged.add(int(child.stdout.readline()))
        time.sleep(rng.random() * 0.2)  # the first of it makes the store, or opens it again
        child.send_signal(signal.SIGKILL)
        out, _ = child.communicate()
        acknowledged.update(int(line) for line in out.splitlines(keepends=True) if line.endswith("\n"))
        check(path, acknowledged, kill + 1)
    assert len(acknowledged) > kills, "it was killed in the middle of adding, not before"
    connection = sqlite3.connect(path / "store.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.execute("INSERT INTO words(words, rank) VALUES ('integrity-check', 1)")
    ((passages, vectors),) = connection.execute("SELECT count(*), sum(length(vector) = 32) FROM passages")
    ((documents,),) = connection.execute("SELECT count(*) FROM documents")
    assert passages == vectors == 3 * documents
    connection.close()


def test_eight_kills(tmp_path: Path) -> None:
    kill_often(tmp_path / "s", 8)


@pytest.mark.slow
def test_fifty_kills(tmp_path: Path) -> None:
    kill_often(tmp_path / "s", 50)


def test_kills_while_the_store_is_made(tmp_path: Path) -> None:
    def moment(path: Path, later: float) -> None:
        until = time.monotonic() + 10
        while not (path / "store.sqlite").exists() and time.monotonic() < until:
            time.sleep(0.0002)
        time.sleep(later)

    for number in range(6):
        path = tmp_path / str(number)
        check(path, killed(path, 0, lambda path=path, number=number: moment(path, number * 0.001)), 1)
