"""`mmgen store copy` and the same questions to both stores."""

import json
from pathlib import Path

import pytest
from cli_call import Call
from postgres_server import PostgresServer

pytestmark = pytest.mark.usefixtures("tiny_home")


def test_a_store_on_a_server_and_back(call: Call, postgres: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("# Lamps\n\nThe lamp was lit in 1823. It shone over the sea.\n")
    url = postgres.url("command")
    assert call("rag", "add", tmp_path / "lamp.md").code == 0
    copied = call("store", "copy", "default", url)
    assert (copied.code, copied.err, copied.out) == (0, "", "1 documents copied (1 passages), 0 images\n")
    assert call("rag", "search", "lamp", "-k", "1", "--store", url).out == call("rag", "search", "lamp", "-k", "1").out
    history = call("store", "copy", "default", url, "--history")
    assert history.out == (
        "0 documents copied (0 passages), 0 images; 1 were there already\n"
        "0 history entries copied (0 files), 0 conversations (0 messages), 0 batches (0 uploads)\n"
    )
    local = call("store", "copy", "default", "other", "--history")
    assert local.code == 2 and "both have one history" in local.err and len(local.err.splitlines()) == 1
    told = json.loads(call("store", "copy", url, "again", "--json").out)
    assert told == {"documents": 1, "passages": 1, "images": 0, "names": 0, "unchanged": 0, "feedback": 0, "adapters": 0}
    assert call("rag", "list", "--store", "again").out == call("rag", "list", "--store", url).out
    assert call("rag", "remove", "lamp.md", "--store", url).code == 0 and call("rag", "list").out != ""
    empty = call("rag", "list", "--store", url)
    assert empty.out.startswith(f"store {url} is empty; add documents with: mmgen rag add PATH --store postgres://")
    for schema in ("command", "command_history", "command_conversations", "command_batches"):
        postgres.execute(f"DROP SCHEMA {schema} CASCADE")


def test_what_cannot_be_copied(call: Call) -> None:
    for source, target, told in (
        ("none", "other", "there is no store at"),
        ("default", "documents://default", "cannot be copied into itself"),
        ("nothing://here", "other", 'there is no store "nothing"'),
    ):
        failed = call("store", "copy", source, target)
        assert failed.code == 2 and told in failed.err and len(failed.err.splitlines()) == 1
