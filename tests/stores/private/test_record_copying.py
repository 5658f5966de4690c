"""History, conversations and batches copied to a server and back are what they were, and are found by their words there."""

import secrets
from contextlib import closing
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from mmgen.errors import BadRequest, Clash
from mmgen.stores.batches import PAGE, BatchStore
from mmgen.stores.conversations import Conversation, Conversations
from mmgen.stores.history import History
from mmgen.stores.private import record_copying
from mmgen.stores.private.tables import Place


@pytest.fixture
def first(tmp_path: Path) -> Path:
    place, clock = tmp_path / "first", iter(range(1_000, 2_000))
    with History(place, clock=lambda: float(next(clock))) as history:
        history.add("ann", "r1", "txt2img", {"prompt": "a red lamp"}, {"seed": 7, "n": 0.1}, {"0.png": b"\0png", "1.png": b""})
        history.add("ann", "r2", "chat", {"prompt": "tea\0 \u8336"}, {"answer": "caf\u00e9"})
        history.add("bob", "r1", "chat", {"prompt": "lamps"}, {"answer": "No."})
    with closing(Conversations(place, clock=lambda: float(next(clock)))) as kept:
        for user, text in (("ann", "When was the lamp lit?"), ("bob", "Tea")):
            made = kept.make(user)
            kept.add(
                user, made.id, {"role": "user", "content": text}, {"role": "assistant", "content": "In 1823.", "steps": []}
            )
    return place


def content(place: Place) -> list[object]:
    """All that users see."""
    seen: list[object] = []
    with History(place, record_copying.KEEP_ALL) as history, closing(Conversations(place)) as kept:
        for user in ("ann", "bob"):
            entries = history.entries(user)
            seen += [entries, history.entries(user, "lamp"), history.entries(user, "cafe")]
            seen += [history.read(user, entry.id, file.name) for entry in entries for file in entry.files]
            conversations = kept.found(user)
            seen += [conversations, kept.found(user, "1823"), [kept.messages(user, one.id) for one in conversations]]
    return seen


def test_there_and_back(first: Path, postgres: PostgresServer, tmp_path: Path) -> None:
    schema = f"t{secrets.token_hex(6)}"
    server, back = postgres.url(schema), tmp_path / "back"
    done = record_copying.copy(first, server)
    assert str(done) == "3 history entries copied (2 files), 2 conversations (4 messages), 0 batches (0 uploads)"
    record_copying.copy(server, back)
    assert content(first) == content(server) == content(back)
    assert str(record_copying.copy(back, server)).endswith(", 0 batches (0 uploads); 5 were there already")
    with pytest.raises(BadRequest, match=rf"both have one history, postgres://.*\(schema {schema}\)"):
        record_copying.copy(server, server)
    for part in ("history", "conversations"):
        postgres.execute(f"DROP SCHEMA {schema}_{part} CASCADE")


def test_what_the_target_holds_stays(first: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with History(other) as history, closing(Conversations(other)) as kept:
        history.add("ann", "r1", "chat", {"prompt": "another"}, {})
        history.add("eve", "r9", "chat", {"prompt": "own"}, {})
        own = kept.make("eve", "Own")
    record_copying.copy(first, other)
    with History(other) as history, closing(Conversations(other)) as kept, closing(Conversations(first)) as had:
        assert history.get("ann", "r1").asked == {"prompt": "another"} and history.get("eve", "r9").created > 2_000
        assert history.entries("ann", kind="chat")[0].id == "r2", "as old as it is"
        assert kept.found("eve") == [own]
        (one,) = had.found("ann")
        had.add("ann", one.id, {"role": "user", "content": "And in Japan?"})
        kept.rename("ann", one.id, "Mine")
    assert record_copying.copy(first, other).messages == 3, "the one that was used last"
    with closing(Conversations(other)) as kept:
        (copied,) = kept.found("ann")
        assert len(kept.messages("ann", one.id)) == 3 and copied.id == one.id and copied.name == one.name
        kept.add("ann", one.id, {"role": "user", "content": "Later."})
    assert record_copying.copy(first, other).conversations == 0
    with closing(Conversations(other)) as kept:
        assert len(kept.messages("ann", one.id)) == 4
        with pytest.raises(Clash, match="is another user's here"):
            kept.put("eve", Conversation(one.id, "Mine", 1.0, 2.0), [])
    with pytest.raises(BadRequest, match="both have one history"):
        record_copying.copy(first, first.parent / "first")


def test_a_copy_that_was_cut_off_goes_on(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, calls = History.put, []

    def cut(self: History, *values: object) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        put(self, *values)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(History, "put", cut)
        record_copying.copy(first, tmp_path / "copy")
    done = record_copying.copy(first, tmp_path / "copy")
    assert (done.entries, done.unchanged) == (2, 1) and content(first) == content(tmp_path / "copy")


def test_batches_there_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    schema = f"t{secrets.token_hex(6)}"
    here, server, back = tmp_path / "batches.db", postgres.url(schema), tmp_path / "back.db"
    lines = [(f"id{number}", {"prompt": f"tea {number}"}) for number in range(PAGE + 3)]
    with closing(BatchStore(here, "this server")) as store:
        upload = store.add_file("ann", "a.jsonl", "batch", b"\0{}")
        ended, open_one, held = (
            store.add(user, "/v1/completions", upload.id, lines, {"a": "b"}, 600) for user in ("ann", "bob", "ann")
        )
        for line in store.open_lines(ended.id, len(lines)):
            store.finish(line, {"n": line.number}, failed=line.number == 5)
        store.end(ended.id, "completed")
        store.finish(store.open_lines(open_one.id, 1)[0], {"n": 0}, failed=False)
        assert store.claim(held.id)
        was = [store.batch("ann", ended.id), store.batch("bob", open_one.id)], *outcomes(store, ended.id, open_one.id)
    done = copied(here, server)
    assert str(done).endswith("2 batches (1 uploads); 1 is answered now and was left out, copy again when no server answers")
    copied(server, back)
    with closing(BatchStore(back)) as store:
        assert ([store.batch("ann", ended.id), store.batch("bob", open_one.id)], *outcomes(store, ended.id, open_one.id)) == was
        assert store.data("ann", upload.id) == b"\0{}" and store.file("ann", upload.id) == upload
        assert [line.number for line in store.open_lines(open_one.id, 2)] == [1, 2] and store.claim(open_one.id)
    again = copied(back, server)
    assert (again.batches, again.uploads, again.unchanged, again.answered_now) == (0, 0, 2, 1)
    postgres.execute(f"DROP SCHEMA {schema}_batches CASCADE")


def copied(source: Place, target: Place) -> record_copying.RecordCopy:
    done = record_copying.RecordCopy()
    record_copying.copy_batches(source, target, done)
    return done


def outcomes(store: BatchStore, *ids: str) -> list[bytes]:
    return [b"".join(store.outcomes(id, failed)) for id in ids for failed in (False, True)]
