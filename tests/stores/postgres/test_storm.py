"""Twenty writers and fifty readers while the server and writers are killed at random: nothing that was acknowledged is lost."""

import os
import random
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from postgres_server import PostgresServer, running

from mmgen.errors import Busy, Unreachable
from mmgen.stores.postgres.documents import PostgresDocumentStore

WRITERS, READERS = 20, 50
SECONDS = float(os.environ.get("MMGEN_STORM_S", "60"))
CHILD = """
import sys, time
import numpy as np
from mmgen.errors import Busy, Unreachable
from mmgen.interfaces import Document, Passage
from mmgen.stores.postgres.documents import PostgresDocumentStore

url, first = sys.argv[1], int(sys.argv[2])
vector = np.full((3, 8), 8**-0.5, dtype=np.float32)

def document(uri, number):
    text = f"Tea {number:08}. " * 3
    return Document(uri, text, "text", "h", language="en"), [Passage(text[i : i + 13], i, i + 13) for i in (0, 14, 28)], vector

store = None
for number in range(first, first + 100_000):
    try:
        store = store or PostgresDocumentStore(url, timeout=30)
        store.add_many([document(f"/{number}", number), document(f"/updated/{first // 100_000 % 20}", number)])
    except (Unreachable, Busy):
        print("again", flush=True)
        time.sleep(0.2)
        continue  # what it may have stored all the same is no loss
    print(number, flush=True)
"""


class Writer:
    """A process that adds documents; what it acknowledged is read by a thread, so that it never waits."""

    def __init__(self, url: str, number: int) -> None:
        command = [sys.executable, "-c", CHILD, url, str(number * 100_000)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.acknowledged: list[int] = []
        self.refused = 0
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "again\n":
                self.refused += 1
            elif line.endswith("\n"):
                self.acknowledged.append(int(line))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reading.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def reading(url: str, stop: threading.Event, told: list[str], failures: list[BaseException]) -> None:
    """Whole documents are seen, or a line says that the server is away."""
    query = np.full(8, 8**-0.5, np.float32)
    store = PostgresDocumentStore(url, readonly=True)
    while not stop.is_set():
        try:
            assert store.count() % 3 == 0
            for hit in store.search("tea", query, k=5):
                assert hit.passage.text.startswith("Tea ")
            told.append("found")
            time.sleep(0.1)
        except (Unreachable, Busy) as why:
            told.append(str(why))
            time.sleep(0.5)
        except BaseException as why:
            failures.append(why)
            return
    store.close()


def storm(server: PostgresServer, seconds: float, kill_every: float) -> None:
    url, rng, stop = server.url(), random.Random(3), threading.Event()
    PostgresDocumentStore(url, encoder="tiny", dimension=8).close()
    told, failures = list[str](), list[BaseException]()
    readers = [threading.Thread(target=reading, args=(url, stop, told, failures)) for _ in range(READERS)]
    writers, ended, next_number, kills = [Writer(url, number) for number in range(WRITERS)], list[Writer](), WRITERS, 0
    while not all(writer.acknowledged for writer in writers):  # however slow the machine is
        time.sleep(0.1)
    for thread in readers:
        thread.start()
    until, server_due = time.monotonic() + seconds, time.monotonic() + kill_every
    while time.monotonic() < until and not failures:
        time.sleep(rng.random() * kill_every / 2)
        victim = rng.randrange(WRITERS)
        writers[victim].kill()
        ended.append(writers[victim])
        writers[victim] = Writer(url, next_number)
        next_number, kills = next_number + 1, kills + 1
        if time.monotonic() > server_due:
            server.kill()
            time.sleep(rng.random() * 0.5)
            server.start()
            server_due, kills = time.monotonic() + kill_every, kills + WRITERS
    for writer in writers:
        writer.kill()
    stop.set()
    for thread in readers:
        thread.join()
    everyone = ended + writers
    acknowledged = {number for writer in everyone for number in writer.acknowledged}
    assert not failures and "found" in told and kills > WRITERS and len(acknowledged) > WRITERS
    print(f"{len(acknowledged)} acknowledged, {kills} kills, {told.count('found')} of {len(told)} searches answered")
    check(server, acknowledged, sum(writer.refused for writer in everyone) + len(everyone))


def check(server: PostgresServer, acknowledged: set[int], unsure: int) -> None:
    """All that was told is there, whole, and at most one commit more for each time that a writer was not told."""
    with PostgresDocumentStore(server.url()) as store:
        stored = {int(uri[1:]) for uri in store.uris() if "updated" not in uri}
        assert acknowledged <= stored and len(stored - acknowledged) <= unsure
        assert {summary.passages for summary in store.documents()} == {3}
        database = store._database
        passages, tokens = database.one("SELECT count(*), sum(cardinality(string_to_array(terms, ' '))) FROM passages")
        assert database.one("SELECT entries, tokens FROM passages_totals") == (passages, tokens)
        assert database.one("SELECT sum(count) FROM passages_words")[0] == tokens
        assert database.one("SELECT count(*) FROM passages_words WHERE id NOT IN (SELECT id FROM passages)") == (0,)
        newest = max(acknowledged)
        assert f"/{newest}" in {name for hit in store.search(f"{newest:08}", method="bm25") for name in (hit.uri, *hit.copies)}


@pytest.mark.slow
def test_a_storm() -> None:
    with running(fsync=True) as server:
        storm(server, SECONDS, 5.0)


def test_a_writer_that_is_killed_leaves_whole_documents(postgres: PostgresServer) -> None:
    """A small one of it: two kills in the middle of adding."""
    url = postgres.url("gusts")
    PostgresDocumentStore(url, encoder="tiny", dimension=8).close()
    told = set[int]()
    for number in range(2):
        writer = Writer(url, number)
        until = time.monotonic() + 60
        while len(writer.acknowledged) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        writer.kill()
        told |= set(writer.acknowledged)
    assert len(told) >= 6
    with PostgresDocumentStore(url, readonly=True) as store:
        stored = {int(uri[1:]) for uri in store.uris() if "updated" not in uri}
        assert told <= stored and len(stored - told) <= 2 and {summary.passages for summary in store.documents()} == {3}
    postgres.execute("DROP SCHEMA gusts CASCADE")
