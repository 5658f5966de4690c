"""A process that is really killed in the middle of adding: what it acknowledged is there, and nothing by halves."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from mmgen.stores.documents import DocumentStore

CHILD = """
import sys
import numpy as np
from pathlib import Path
from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore

store, first = DocumentStore(Path(sys.argv[1]), encoder="tiny", dimension=8), int(sys.argv[2])
vector = np.full((3, 8), 8**-0.5, dtype=np.float32)
for number in range(first, first + 100_000):
    text = f"Tea number {number}. " * 3
    passages = [Passage(text[i : i + 9], i, i + 9) for i in (0, 3, 6)]
    store.add(Document(f"/{number}", text, "text", "h"), passages, vector)
    print(number, flush=True)
"""


def test_fifty_kills(tmp_path: Path) -> None:
    rng, acknowledged = random.Random(0), set()
    for kill in range(50):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "s"), str(kill * 100_000)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        acknowledged.add(int(child.stdout.readline()))  # it runs
        time.sleep(rng.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        out, _ = child.communicate()
        acknowledged.update(int(line) for line in out.splitlines() if line.strip())
    with DocumentStore(tmp_path / "s", readonly=True) as store:
        stored = {int(uri[1:]) for uri in store.uris()}
        assert acknowledged <= stored
        assert len(stored - acknowledged) <= 50, "at most one a kill was stored and not yet told"
        assert {summary.passages for summary in store.documents()} == {3}
        for number in rng.sample(sorted(acknowledged), 20):
            assert f"Tea number {number}." in store.document(f"/{number}").text
        vector = store.vectors([1])[0]
        assert len(store.search("tea", vector, k=5)) == 5
    connection = sqlite3.connect(tmp_path / "s" / "store.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.execute("INSERT INTO words(words) VALUES ('integrity-check')")
    ((rows,),) = connection.execute("SELECT count(*) FROM passages WHERE length(vector) = 32")
    assert rows == 3 * len(stored)
    connection.close()
