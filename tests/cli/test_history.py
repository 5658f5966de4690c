"""`mmgen history`."""

import json
import zipfile
from pathlib import Path

import pytest
from cli_call import Call

from mmgen.stores.history import History


@pytest.fixture
def filled(home: Path) -> Path:
    with History(home / "history") as history:
        history.add("local", "r1", "txt2img", {"prompt": "a red\napple"}, {"seed": 1}, {"0.png": b"png"})
        history.add("local", "r2", "rag-text", {"question": "Who wrote it?"}, {"answer": "Ada Lovelace"})
        history.add("ann", "r3", "chat", {"messages": [{"content": "tea"}]}, {"text": "coffee"})
    return home


def test_list_and_search(call: Call, filled: Path) -> None:
    rows = [row.split(maxsplit=5) for row in call("history", "list").out.splitlines()]
    assert rows[0] == ["id", "when", "kind", "files", "asked"]
    assert [(row[0], row[3], row[4], row[5]) for row in rows[1:]] == [
        ("r2", "rag-text", "0", "Who wrote it?"),
        ("r1", "txt2img", "1", "a red apple"),
    ]
    assert call("history", "search", "lovelace").out.splitlines()[1].startswith("r2 ")
    assert call("history", "search", "coffee").out == "nothing in the history of local with: coffee\n"
    assert '[{"content": "tea"}]' in call("history", "search", "coffee", "--user", "ann").out
    (first,) = json.loads(call("history", "list", "--json", "-n", 1).out)
    (second,) = json.loads(call("history", "list", "--json", "--before", first["id"]).out)
    assert (first["id"], second["id"]) == ("r2", "r1")
    assert call("history", "list", "--kind", "chat").out == "nothing in the history of local\n"


def test_show(call: Call, filled: Path, tmp_path: Path) -> None:
    shown = json.loads(call("history", "show", "r1", "-o", tmp_path / "out").out)
    assert shown["asked"] == {"prompt": "a red\napple"} and shown["files"] == [{"name": "0.png", "bytes": 3}]
    assert (tmp_path / "out" / "0.png").read_bytes() == b"png"
    again = call("history", "show", "r1", "-o", tmp_path / "out")
    assert again.code == 2 and "cannot be written" in again.err
    assert call("history", "show", "r3").code == 2, "another's"


def test_delete(call: Call, filled: Path) -> None:
    assert call("history", "delete", "r1").out == "deleted 1\n"
    assert (
        call("history", "delete", "r1").code
        == call("history", "delete").code
        == call("history", "delete", "x", "--all").code
        == 2
    )
    assert call("history", "delete", "--all").out == "deleted 1\n" and call("history", "delete", "--all").out == "deleted 0\n"
    assert "r3" in call("history", "list", "--user", "ann").out and not list((filled / "history" / "files").iterdir())


def test_export(call: Call, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.zip"
    assert call("history", "export", file).out == f"2 requests in {file}\n"
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["history.jsonl", "files/r1/0.png"]
    assert call("history", "export", file).code == 2, "nothing is written over"
