"""Files and batches that survive what becomes of the server."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmgen.errors import NotFound, TooLarge
from mmgen.stores import batches as module
from mmgen.stores.batches import BatchStore

KILLED = """
import os, signal, sys
from pathlib import Path
from mmgen.stores.batches import BatchStore
store = BatchStore(Path(sys.argv[1]))
batch = store.add("ann", "/v1/embeddings", "file-1", [(f"id{n}", {"n": n}) for n in range(6)], {}, 60)
for line in store.open_lines(batch.id, 3):
    store.finish(line, {"custom_id": line.custom_id}, False)
print(batch.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_files_are_their_users_own(records_at: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BatchStore(records_at)
    made = store.add_file("ann", "a.jsonl", "batch", b"{}")
    assert store.files("ann") == [made] and store.data("ann", made.id) == b"{}" and store.file("ann", made.id) == made
    for user, id in (("bob", made.id), ("ann", "file-x")):
        with pytest.raises(NotFound):
            store.data(user, id)
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    with pytest.raises(TooLarge, match="delete some"):
        store.add_file("ann", "b.jsonl", "batch", b"x" * 20)
    store.delete_file("ann", made.id)
    with pytest.raises(NotFound):
        store.delete_file("ann", made.id)
    assert isinstance(records_at, str) or records_at.stat().st_mode & 0o077 == 0
    store.close()


def test_what_is_old_is_forgotten_while_the_store_is_open(records_at: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BatchStore(records_at)
    store.add_file("ann", "a.jsonl", "batch", b"{}")
    ended, open_one = (store.add("ann", "/v1/embeddings", "file-1", [("a", {})], {}, 60) for _ in range(2))
    store.end(ended.id, "completed")
    store.forget()
    assert len(store.files("ann")) == 1
    later = store.now() + module.KEPT_S + 1
    monkeypatch.setattr(store, "now", lambda: later)
    store.forget()
    assert store.files("ann") == [] and [one.id for one in store.under_way()] == [open_one.id]
    with pytest.raises(NotFound):
        store.batch("ann", ended.id)
    store.close()


def test_each_line_once_whatever_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    path = tmp_path / "batches.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = BatchStore(path)
    (batch,) = store.under_way()
    assert batch.id == done.stdout.strip() and (batch.total, batch.completed, batch.failed) == (6, 3, 0)
    lines = store.open_lines(batch.id, 10)
    assert [line.body["n"] for line in lines] == [3, 4, 5]
    for line in [*lines, *lines]:  # the first outcome stays
        store.finish(line, {"custom_id": line.custom_id}, line.number == 5)
    store.end(batch.id, "completed")
    outcomes = [line for failed in (False, True) for line in b"".join(store.outcomes(batch.id, failed)).splitlines()]
    told = [json.loads(line)["custom_id"] for line in outcomes]
    assert told == [f"id{n}" for n in range(6)] and not store.under_way()
    assert store.outcome_size(batch.id, False) == len(b"".join(store.outcomes(batch.id, False)))
    store.close()


def test_a_cancelled_batch(records_at: Path | str) -> None:
    store = BatchStore(records_at)
    batch = store.add("ann", "/v1/embeddings", "file-1", [("a", {})], {"k": "v"}, 60)
    with pytest.raises(NotFound):
        store.cancel("bob", batch.id)
    assert store.cancel("ann", batch.id).status == store.state(batch.id)[0] == "cancelling"
    store.end(batch.id, "cancelled")
    store.end(batch.id, "completed")
    (found,) = store.batches("ann")
    assert (found.status, found.metadata) == ("cancelled", {"k": "v"}) and found.ended and not store.batches("bob")
    store.close()


def test_a_batch_is_one_machines_until_its_lease_ends(records_at: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = BatchStore(records_at, "one"), BatchStore(records_at, "two")
    batch = one.add("ann", "/v1/embeddings", "file-1", [("a", {"n": 1}), ("b", {})], {}, 60)
    assert one.claim(batch.id) and one.claim(batch.id) and not two.claim(batch.id)
    one.finish(one.open_lines(batch.id, 1)[0], {"id": "é"}, False)
    began = two.now()
    monkeypatch.setattr(two, "now", lambda: began + module.LEASE_S + 1)
    assert two.claim(batch.id) and not one.claim(batch.id), "what it left is another one's"
    assert [line.custom_id for line in two.open_lines(batch.id, 9)] == ["b"]
    two.finish(two.open_lines(batch.id, 1)[0], {"id": "b"}, True)
    (found,) = one.under_way()
    assert (found.total, found.completed, found.failed) == (2, 1, 1)
    for failed in (False, True):
        assert one.outcome_size(batch.id, failed) == len(b"".join(one.outcomes(batch.id, failed)))
    one.close()
    two.close()
