"""History: found again, by its owner alone; bounded; and whole though the process be killed."""

import io
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmgen.errors import BadRequest, Clash, Closed, NotFound, StoreError
from mmgen.stores.history import History
from mmgen.stores.history_schema import TABLES, HistoryEntry, HistoryFile, RetentionPolicy
from mmgen.stores.private.tables import opened


@pytest.fixture
def history(records_at: Path | str) -> Iterator[History]:
    with History(records_at) as history:
        yield history


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "h") as history:
        yield history


def add(history: History, id: str, user: str = "ann", kind: str = "txt2img", prompt: str = "", **files: bytes) -> None:
    history.add(user, id, kind, {"prompt": prompt or f"image {id}"}, {"answer": f"answer {id}"}, files)


def ids(history: History, user: str = "ann", **values: object) -> list[str]:
    return [entry.id for entry in history.entries(user, **values)]  # type: ignore[arg-type]


def stored(place: Path | str) -> int:
    """How many files there are."""
    if isinstance(place, Path):
        return len(list((place / "files").iterdir()))
    tables = opened(place, TABLES)
    (count,) = tables.one("SELECT count(*) FROM contents")
    tables.close()
    return int(count)


def test_what_was_asked_is_there(history: History) -> None:
    before = time.time()
    history.add("ann", "r1", "txt2img", {"prompt": "a red apple"}, {"seed": 7}, {"0.png": b"png", "1.png": b"more"})
    entry = history.get("ann", "r1")
    assert (entry.id, entry.kind, entry.asked, entry.result) == ("r1", "txt2img", {"prompt": "a red apple"}, {"seed": 7})
    assert entry.files == [HistoryFile("0.png", 3), HistoryFile("1.png", 4)] and before <= entry.created <= time.time()
    assert history.read("ann", "r1", "1.png") == b"more" and history.entries("ann") == [entry]
    assert entry.to_dict()["files"] == [{"name": "0.png", "bytes": 3}, {"name": "1.png", "bytes": 4}]


def test_search(history: History) -> None:
    add(history, "r1", prompt="a red apple on a table")
    add(history, "r2", prompt="two green apples", kind="img2img")
    history.add(
        "ann", "r3", "rag-text", {"question": "Who wrote it?"}, {"answer": "Ada Lovelace", "citations": [{"text": "Ada."}]}
    )
    assert ids(history, q="apple") == ["r2", "r1"] and ids(history, q="RED apple") == ["r1"], "all words, in any form"
    assert ids(history, q="lovelace") == ["r3"] and ids(history, q="apple", kind="txt2img") == ["r1"]
    assert ids(history, q="pear") == ids(history, q='"!') == [] and len(ids(history, q=" ")) == 3
    for attack in ('apple" OR "x', "apple NOT red*", "text:apple", "NEAR(a b)", "' OR 1=1 --", "apple\x00"):
        assert set(ids(history, q=attack)) <= {"r1", "r2"}, attack


def test_pages(history: History) -> None:
    for n in range(5):
        add(history, f"r{n}")
        add(history, f"r{n}", user="bob")
    assert ids(history, limit=2) == ["r4", "r3"] and ids(history, limit=2, before="r3") == ["r2", "r1"]
    assert ids(history, limit=2, before="r1", q="image") == ["r0"] and ids(history, before="r0") == []
    for limit in (0, 1001):
        with pytest.raises(BadRequest, match="1 to 1000"):
            history.entries("ann", limit=limit)
    with pytest.raises(NotFound):
        history.entries("ann", before="gone")


def test_another_user_sees_nothing(history: History, records_at: Path | str) -> None:
    add(history, "r1", prompt="a secret plan", **{"0.png": b"png"})
    assert ids(history, "bob") == ids(history, "bob", q="secret") == ids(history, "") == ids(history, "a%") == []
    for attempt in (
        lambda: history.get("bob", "r1"),
        lambda: history.read("bob", "r1", "0.png"),
        lambda: history.delete("bob", "r1"),
        lambda: history.entries("bob", before="r1"),
    ):
        with pytest.raises(NotFound) as known:
            attempt()
        assert "secret" not in str(known.value)
    with pytest.raises(NotFound) as known:
        history.get("bob", "r1")
    with pytest.raises(NotFound) as unknown:
        history.get("bob", "r2")
    assert str(known.value).replace("r1", "r2") == str(unknown.value), "nobody learns what there is"
    assert history.delete_all("bob") == history.export("bob", io.BytesIO()) == 0
    add(history, "r1", user="bob")  # the same id is another's
    history.delete("bob", "r1")
    assert history.get("ann", "r1").asked == {"prompt": "a secret plan"} and stored(records_at) == 1


def test_delete(history: History, records_at: Path | str) -> None:
    for n in range(3):
        add(history, f"r{n}", **{"a.png": b"x", "b.png": b"y"})
    add(history, "r0", user="bob", **{"a.png": b"z"})
    history.delete("ann", "r1")
    assert ids(history) == ["r2", "r0"] and ids(history, q="image") == ["r2", "r0"] and stored(records_at) == 5
    with pytest.raises(NotFound):
        history.read("ann", "r1", "a.png")
    with pytest.raises(NotFound):
        history.delete("ann", "r1")
    assert history.delete_all("ann") == 2 and ids(history) == [] and stored(records_at) == 1
    assert history.read("bob", "r0", "a.png") == b"z"


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "..", ".", "a/../../b", "a\\b", "a\0b", "\u202e.png", "x" * 300, ""]
)
def test_names_are_no_paths(in_folder: History, tmp_path: Path, name: str) -> None:
    in_folder.add("ann", "r1", "k", {}, {}, {name: b"data"})
    (file,) = in_folder.get("ann", "r1").files
    assert in_folder.read("ann", "r1", file.name) == b"data" and stored(tmp_path / "h") == 1
    assert Path(file.name).name == file.name and file.name.isascii() and not file.name.startswith(".")
    assert [path.name for path in tmp_path.iterdir()] == ["h"] and len(file.name) <= 100
    for guess in ("../in_folder.db", "../../h/in_folder.db", name if name != file.name else "?"):
        with pytest.raises(NotFound):
            in_folder.read("ann", "r1", guess)


def test_requests_are_told_apart(history: History, records_at: Path | str) -> None:
    add(history, "r1", a=b"1")
    with pytest.raises(Clash):
        add(history, "r1", a=b"2")
    assert history.read("ann", "r1", "a") == b"1" and stored(records_at) == 1
    for id in ("", "../r1", "a b", "r" * 65):
        with pytest.raises(BadRequest):
            add(history, id)


def test_export(history: History) -> None:
    add(history, "r1", prompt="tea", **{"../0.png": b"png"})
    add(history, "r2")
    add(history, "r3", user="bob", **{"b.png": b"other"})
    out = io.BytesIO()
    assert history.export("ann", out) == 2
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["history.jsonl", "files/r1/_0.png"] and archive.testzip() is None
        first, second = map(json.loads, archive.read("history.jsonl").splitlines())
        assert first == {**history.get("ann", "r1").to_dict()} and second["id"] == "r2"
        assert archive.read("files/r1/_0.png") == b"png"


def test_export_while_entries_are_deleted(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        add(history, f"r{number}")
    plain = HistoryEntry.to_dict

    def deleting(one: HistoryEntry) -> dict[str, object]:
        history.delete_all("ann")
        return plain(one)

    monkeypatch.setattr(HistoryEntry, "to_dict", deleting)
    assert history.export("ann", io.BytesIO()) == 3


def test_the_oldest_go_first(records_at: Path | str) -> None:
    with History(records_at, RetentionPolicy(max_entries=3)) as history:
        for n in range(5):
            add(history, f"r{n}", **{"a.png": b"x"})
        assert ids(history) == ["r4", "r3", "r2"] == ids(history, q="image") and stored(records_at) == 3
    with History(records_at, RetentionPolicy(max_bytes=10_000)) as history:
        history.delete_all("ann")
        add(history, "big", **{"a.png": b"x" * 9_800})
        assert ids(history) == ["big"] and stored(records_at) == 1
        add(history, "bigger", **{"a.png": b"x" * 10_001})
        assert ids(history) == [] and stored(records_at) == 0, "what alone is over the policy is not kept"


def test_a_flood_drowns_nobody_else(records_at: Path | str) -> None:
    with History(records_at, RetentionPolicy(max_entries=10, max_bytes=2000)) as history:
        add(history, "kept", user="bob")
        for n in range(30):
            add(history, f"r{n}")
        assert ids(history, "bob") == ["kept"] and len(ids(history)) == 9
        for n in range(30, 60):
            add(history, f"r{n}", **{"a.png": b"x" * 500})
        assert ids(history, "bob") == ["kept"] and ids(history) == ["r59", "r58", "r57"]


def test_age(records_at: Path | str) -> None:
    now = 0.0
    with History(records_at, RetentionPolicy(max_age_days=2), clock=lambda: now) as history:
        add(history, "r1", user="bob", **{"a.png": b"x"})
        now = 86400.0
        add(history, "r2")
        now = 2.5 * 86400
        add(history, "r3")
        assert ids(history) == ["r3", "r2"] and ids(history, "bob") == [] and stored(records_at) == 0


def test_nothing_secret_is_stored(in_folder: History, tmp_path: Path) -> None:
    key = "mm-" + "k" * 43
    in_folder.add("ann", "r1", "chat", {"authorization": "Bearer xyzzy", "image": b"upload" * 99}, {"said": f"your key {key}"})
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"xyzzy" not in files and key.encode() not in files and b"uploadupload" not in files and b"sha256" in files
    modes = {path.stat().st_mode & 0o077 for path in tmp_path.joinpath("h").rglob("*")}
    assert modes == {0}, "others on this machine cannot read it"


def test_what_cannot_be_written_leaves_nothing(in_folder: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = in_folder._files.write

    def full(connection: object, file: str, content: bytes) -> None:
        write(connection, file, content)
        if content == b"2":
            raise StoreError("disk full")

    monkeypatch.setattr(in_folder._files, "write", full)
    with pytest.raises(StoreError):
        in_folder.add("ann", "r1", "k", {}, {}, {"a": b"1", "b": b"2"})
    assert ids(in_folder) == [] and stored(tmp_path / "h") == 0


def test_threads(history: History) -> None:
    def work(user: str) -> None:
        for n in range(15):
            add(history, f"r{n}", user=user, a=b"1")
            assert ids(history, user, limit=1) == [f"r{n}"]

    threads = [threading.Thread(target=work, args=(f"u{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(ids(history, f"u{n}")) for n in range(4)] == [15] * 4


def test_closed(history: History) -> None:
    history.close()
    with pytest.raises(Closed):
        add(history, "r1")


CHILD = """
import sys
from pathlib import Path
from mmgen.stores.history import History
from mmgen.stores.history_schema import RetentionPolicy

folder, first = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
history = History(folder, RetentionPolicy(max_entries=50))
for n in range(first, first + 100_000):
    history.add("ann", f"r{n}", "k", {"prompt": f"word{n}"}, {}, {"a.png": b"%07d" % n * 9000, "b.png": b"b"})
    print(n, flush=True)
    if n % 5 == 0:
        history.delete("ann", f"r{n}")
"""


def kill_often(tmp_path: Path, kills: int) -> None:
    rng, told = random.Random(kills), 0
    for kill in range(kills):
        command = [sys.executable, "-c", CHILD, str(tmp_path / "h"), str(kill * 100_000)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(rng.random() * 0.2)  # the first of it makes the database, or opens it again
        child.send_signal(signal.SIGKILL)
        out, _ = child.communicate()
        acknowledged = [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
        told += len(acknowledged)
        check(tmp_path, acknowledged[-20:])
    assert told > kills, "it was killed in the middle of adding, not before"


def check(tmp_path: Path, acknowledged: list[int]) -> None:
    """The history opens, holds what was told, and every file belongs to an entry."""
    with History(tmp_path / "h", RetentionPolicy(max_entries=50)) as history:
        entries = history.entries("ann", limit=1000)
        assert {f"r{n}" for n in acknowledged if n % 5} <= {entry.id for entry in entries}
        for entry in entries:
            n = int(entry.id[1:])
            assert history.read("ann", entry.id, "a.png") == b"%07d" % n * 9000
            assert ids(history, q=f"word{n}") == [entry.id]
        assert stored(tmp_path / "h") == 2 * len(entries), "no file is left over"
    connection = sqlite3.connect(tmp_path / "h" / "history.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.execute("INSERT INTO words(words, rank) VALUES ('integrity-check', 1)")
    assert connection.execute("SELECT sum(entries) FROM usage").fetchone()[0] in (len(entries), None)
    assert (
        connection.execute("SELECT sum(bytes) FROM usage").fetchone()
        == connection.execute("SELECT sum(bytes) FROM entries").fetchone()
    )
    connection.close()


def test_killed_while_adding(tmp_path: Path) -> None:
    kill_often(tmp_path, 5)


@pytest.mark.slow
def test_killed_forty_times(tmp_path: Path) -> None:
    kill_often(tmp_path, 40)


def test_another_process_may_open_it_meanwhile(in_folder: History, tmp_path: Path) -> None:
    """Whoever opens it tidies up; what another is just adding is not in its way."""
    done = threading.Event()

    def open_and_close() -> None:
        while not done.is_set():
            History(tmp_path / "h").close()

    opener = threading.Thread(target=open_and_close)
    opener.start()
    for n in range(30):
        add(in_folder, f"r{n}", **{"a.png": b"x" * 5000})
    done.set()
    opener.join()
    assert all(in_folder.read("ann", f"r{n}", "a.png") == b"x" * 5000 for n in range(30)) and stored(tmp_path / "h") == 30
