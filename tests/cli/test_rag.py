"""`mmgen rag` as people use it, over tiny models; and a few questions to the embedded ones whose answers are plain."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_call import MMGEN, Call
from scripted_lm import Say

from mmgen import embedded
from mmgen.errors import Forbidden
from mmgen.stores.documents import DocumentStore

SAMPLE = Path(__file__).parents[2] / "assets" / "sample"

pytestmark = pytest.mark.usefixtures("tiny_home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "lamp.md").write_text("# Lamps\n\nThe lamp was lit in 1823. It shone over the sea.\n")
    (folder / "tea.txt").write_text("Tea came to Japan with monks.")
    return folder


def test_a_first_session(call: Call, folder: Path, tiny_home: Path) -> None:
    added = call("rag", "add", folder)
    assert added.code == 0 and added.out.startswith("2 documents added (2 passages in ") and added.err == ""
    assert (tiny_home / "stores" / "default" / "store.sqlite").is_file()
    listed = call("rag", "list").out.splitlines()
    assert [line.split() for line in listed] == [
        ["kind", "language", "passages", "characters", "document"],
        ["markdown", "en", "1", "58", str(folder / "lamp.md")],
        ["text", "en", "1", "29", str(folder / "tea.txt")],
    ]
    assert call("rag", "show", "lamp.md").out == (folder / "lamp.md").read_text() + "\n"
    found = call("rag", "search", "tea monks", "-k", "1", "--method", "bm25").out.splitlines()
    assert found[0].startswith("1. ") and found[0].endswith(f"{folder / 'tea.txt'} [0:29]")
    assert found[1].strip() == "Tea came to Japan with monks."
    asked = call("rag", "ask", "When was the lamp lit?", "--threshold", "0")
    answer, quote, place = asked.out.splitlines()[:3]
    assert asked.code == 0 and quote.strip() == f'[1] "{answer}"'
    assert place.strip().startswith(("lamp.md [", "tea.txt ["))
    assert call("rag", "remove", "tea.txt").out == f"removed {folder / 'tea.txt'}\n"
    assert len(call("rag", "list").out.splitlines()) == 2
    assert (folder / "tea.txt").is_file()


def test_an_abstention_looks_different(call: Call, folder: Path) -> None:
    call("rag", "add", folder)
    answered, abstained = (call("rag", "ask", "When?", "--threshold", threshold) for threshold in ("0", "1"))
    assert answered.code == abstained.code == 0
    assert abstained.out.startswith("  -- Not in the documents.\n  searched: ")
    assert "lamp.md" in abstained.out and "confidence" in abstained.out
    assert not answered.out.startswith(" ") and '[1] "' in answered.out and '"' not in abstained.out
    assert "no passage fits the filter" in call("rag", "ask", "When?", "--where", "kind=papyrus").out


def test_what_was_read_in_part_is_told(call: Call, folder: Path) -> None:
    (folder / "a.csv").write_text('a,b\n1,"never closed\n2,x\n')
    added = call("rag", "add", folder)
    assert added.code == 3 and ", 1 of them in part" in added.out
    assert f"read in part {folder / 'a.csv'}: the quote that line 2 opens is never closed" in added.err
    again = call("rag", "add", folder)
    assert again.code == 0 and "3 unchanged" in again.out


def test_what_is_left_out_of_a_folder_is_told(call: Call, folder: Path) -> None:
    (folder / ".gitignore").write_text("tea.txt\n")
    added = call("rag", "add", folder)
    assert added.code == 0 and added.out.startswith("1 documents added") and ", 1 left out" in added.out
    assert added.err == f"left out {folder / 'tea.txt'}: ignored by {folder / '.gitignore'}: tea.txt\n"
    assert call("rag", "add", folder, "--no-ignore").out.startswith("1 documents added")
    (folder / "lamp.md").unlink()
    assert "no files to read; " in call("rag", "add", folder).err


def test_json_holds_everything(call: Call, folder: Path) -> None:
    added = json.loads(call("rag", "add", folder, "--json").out)
    assert [Path(uri).name for uri in added["added"]] == ["lamp.md", "tea.txt"] and added["skipped"] == []
    listed = json.loads(call("rag", "list", "--json").out)
    assert [(d["kind"], d["passages"]) for d in listed] == [("markdown", 1), ("text", 1)]
    shown = json.loads(call("rag", "show", "tea.txt", "--json").out)
    assert shown["uri"] == str(folder / "tea.txt") and len(shown["content_hash"]) == 64
    found = json.loads(call("rag", "search", "tea", "--json").out)
    assert found[0]["passage"]["text"] == shown["text"]
    answer = json.loads(call("rag", "ask", "When?", "--threshold", "0", "--json").out)
    (citation, *_), text = answer["citations"], {d["id"]: d["uri"] for d in listed}
    assert citation["document"] == text[citation["document_id"]] and not answer["abstained"]
    document = json.loads(call("rag", "show", citation["document"], "--json").out)
    assert document["text"][citation["start"] : citation["end"]] == citation["quote"] == answer["text"]
    assert json.loads(call("rag", "ask", "When?", "--threshold", "1", "--json").out)["abstained"] is True


def test_groundings(call: Call, folder: Path) -> None:
    call("rag", "add", folder)
    cited = json.loads(call("rag", "ask", "When?", "--grounding", "cite", "--threshold", "0", "--json").out)
    assert cited["text"] in {
        "The lamp was lit in 1823.", "It shone over the sea.", "Tea came to Japan with monks.", "# Lamps",
        "The lamp was lit in 1823. It shone over the sea.", "# Lamps\n\nThe lamp was lit in 1823.",
    }  # fmt: skip
    free = call("rag", "ask", "When?", "--grounding", "off")
    assert free.code == 0 and "[1]" not in free.out


def test_a_language_model_answers(call: Call, folder: Path, tiny_llama: Path, say: Say) -> None:
    call("rag", "add", folder)
    say("The lamp was lit in 1823 [9]. It was lit by Argand.")
    ask = ("rag", "ask", "When?", "--model", tiny_llama)
    cited = call(*ask, "--grounding", "cite").out.splitlines()
    assert cited[0] == "The lamp was lit in 1823. [1] It was lit by Argand. (no source)"
    assert cited[1].strip() == '[1] "The lamp was lit in 1823."' and cited[2].strip().startswith("lamp.md [9:34], Lamps")
    assert call(*ask).out.splitlines()[0] == "The lamp was lit in 1823. [1]"
    assert call("rag", "chat", "--model", tiny_llama, stdin=b"When?\n").out.splitlines()[2] == "The lamp was lit in 1823. [1]"
    assert [one["sources"] for one in json.loads(call(*ask, "--json").out)["sentences"]] == [[1]]
    say("It was lit by Argand.")
    abstained = call(*ask).out
    assert abstained.startswith("  -- Not in the documents.\n") and "--grounding off shows what the model writes" in abstained
    missing = call("rag", "ask", "When?", "--model", folder / "none")
    assert missing.code == 2 and missing.err.startswith("error: ") and missing.err.count("\n") == 1


def test_adding_again_touches_only_what_changed(call: Call, folder: Path) -> None:
    call("rag", "add", folder)
    (folder / "tea.txt").unlink()
    (folder / "lamp.md").write_text("The lamp was lit in 1824.")
    (folder / "new.txt").write_text("New.")
    assert call("rag", "add", folder / "new.txt").out.startswith("1 documents added")
    again = call("rag", "add", folder, "--sync").out
    assert again.startswith("1 documents added (1 passages") and again.endswith("1 unchanged, 1 removed\n")


def test_patterns_metadata_and_filters(call: Call, folder: Path) -> None:
    call("rag", "add", folder, "--include", "*.md", "--meta", "lang=en", "--meta", "year=1823", "--meta", 'code="007"')
    (listed,) = json.loads(call("rag", "list", "--json").out)
    assert listed["metadata"] == {"lang": "en", "year": 1823, "code": "007"}
    call("rag", "add", folder, "--exclude", "*.md", "--meta", "lang=de")
    for where, name in (("lang=de", "tea.txt"), ("year>=1800", "lamp.md"), ('code="007"', "lamp.md")):
        (found,) = json.loads(call("rag", "search", "lamp tea", "--where", where, "--json").out)
        assert found["uri"].endswith(name)
    wrong = call("rag", "add", folder, "--meta", "lang")
    assert (wrong.code, wrong.err) == (2, "error: --meta 'lang' is no pair; write name=value\n")


def test_standard_input(call: Call, folder: Path) -> None:
    assert call("rag", "add", "-", stdin=b"Voyager left in 1977.").out.startswith("1 documents added")
    call("rag", "add", "-", "--name", "page.html", stdin=b"<html><body><h1>Ships</h1><p>Ships sail.</p></body></html>")
    assert {d["uri"]: d["kind"] for d in json.loads(call("rag", "list", "--json").out)} == {
        "page.html": "html",
        "stdin": "text",
    }
    assert json.loads(call("rag", "search", "-", "--json", "--method", "bm25", stdin=b"voyager\n").out)[0]["uri"] == "stdin"
    assert json.loads(call("rag", "ask", "-", "--json", stdin=b"When did Voyager leave?\n").out)["question"] == (
        "When did Voyager leave?"
    )
    nothing = call("rag", "add", "-", stdin=b"")
    assert (nothing.code, nothing.err) == (2, "error: stdin is empty; there is nothing to add\n")


def test_indexes(call: Call, folder: Path, tiny_home: Path) -> None:
    for index in ("hnsw", "ivfpq", "shards:2", "flat", "auto"):
        assert call("rag", "add", folder, "--index", index).code == 0
        assert "lamp.md" in call("rag", "search", "lamp").out
    assert call("rag", "add", folder, "--index", "tree").code == 2


def test_stores_by_name_and_by_path(call: Call, folder: Path, tmp_path: Path, tiny_home: Path) -> None:
    call("rag", "add", folder, "--store", "notes")
    call("rag", "add", folder / "tea.txt", "-s", tmp_path / "here")
    assert (tiny_home / "stores" / "notes").is_dir() and (tmp_path / "here" / "store.sqlite").is_file()
    assert "lamp.md" in call("rag", "list", "-s", "notes").out
    assert "lamp.md" not in call("rag", "list", "-s", tmp_path / "here").out


def test_empty_states_say_what_to_do(call: Call, folder: Path, tiny_home: Path) -> None:
    store = tiny_home / "stores" / "default"
    for command in (["list"], ["ask", "who?"], ["chat"], ["search", "x"], ["show", "x"], ["remove", "x"]):
        told = call("rag", *command)
        assert (told.code, told.out) == (2, "")
        remedy = f"make one with: mmgen rag add PATH --store {store}, or mmgen image add"
        assert told.err == f"error: there is no store at {store}; {remedy}\n"
    assert not store.exists(), "looking makes nothing"
    call("rag", "add", folder)
    call("rag", "remove", "lamp.md", "tea.txt")
    assert call("rag", "list").out == f"store {store} is empty; add documents with: mmgen rag add PATH --store {store}\n"
    assert json.loads(call("rag", "list", "--json").out) == []
    for command in (["ask", "who?"], ["chat"], ["search", "x"]):
        told = call("rag", *command)
        assert (told.code, told.out) == (2, "")
        assert told.err == f"error: store {store} is empty; add documents first: mmgen rag add PATH --store {store}\n"


def test_naming_documents(call: Call, folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "tea.txt").write_text("More tea.")
    call("rag", "add", folder)
    unknown, vague = call("rag", "show", "coffee.txt"), call("rag", "remove", "lamp.md", "tea.txt")
    assert unknown.code == vague.code == 2
    assert "no document 'coffee.txt' in store" in unknown.err and "`mmgen rag list` names all 3" in unknown.err
    assert "'tea.txt' fits 2 documents" in vague.err and "write more of the path" in vague.err
    assert len(call("rag", "list").out.splitlines()) == 4, "all are found before one is removed"
    assert call("rag", "show", "sub/tea.txt").out == "More tea.\n"
    assert call("rag", "remove", "lamp.md", folder / "lamp.md").out.count("removed") == 1


def test_chat_from_a_pipe(call: Call, folder: Path) -> None:
    call("rag", "add", folder)
    lines = b"When was the lamp lit?\n\n" + b"why " * 80 + b"\nWhere is tea from?\n"
    told = call("rag", "chat", "--threshold", "0", stdin=lines)
    assert told.code == 0 and told.out.count("confidence") == 3


def test_chat_understands_follow_ups(call: Call, folder: Path) -> None:
    call("rag", "add", folder)
    told = call("rag", "chat", "--threshold", "0", stdin=b"What is the lamp of Argand?\nWhen was it lit?\n")
    assert told.out.count("searched: ") == 1 and "(searched: When was the lamp of Argand lit?)" in told.out


def test_light_commands_import_no_torch(call: Call, folder: Path) -> None:
    call("rag", "add", folder)
    code = (
        "import sys; from mmgen.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'faiss' not in sys.modules"
    )
    for command in (
        ["add", str(folder)],
        ["list"],
        ["show", "tea.txt"],
        ["search", "tea", "--method", "bm25"],
        ["remove", "tea.txt"],
    ):
        subprocess.run([sys.executable, "-c", code, "rag", *command], check=True, timeout=60)


def on_a_terminal(*args: object) -> tuple[int, str]:
    """What a terminal of 100 columns shows, escape sequences included."""
    main_end, child_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([*MMGEN, *map(str, args)], stdin=child_end, stdout=child_end, stderr=child_end, env=environment)
    os.close(child_end)
    shown = b""
    try:
        while part := os.read(main_end, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(main_end)
    return child.wait(timeout=60), shown.decode()


def test_a_terminal_sees_progress(folder: Path) -> None:
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"Note {number}.")
    code, shown = on_a_terminal("rag", "add", folder)
    assert code == 0 and "22 documents added" in shown
    assert "reading" in shown and "passages/s" in shown and "/22" in shown


def many(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"Note {number} says {number * 7}.")
    return folder


def test_ctrl_c_keeps_what_was_stored(call: Call, tmp_path: Path, tiny_home: Path) -> None:
    folder, store = many(tmp_path / "many", 1500), tiny_home / "stores" / "default"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [*MMGEN, "rag", "add", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    deadline = time.monotonic() + 60
    while not stored(store):
        assert time.monotonic() < deadline and child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    kept = len(stored(store))
    assert child.returncode == 130 and out == ""
    assert 0 < kept < 1500
    assert err == f"{kept} documents were stored and stay; the same command goes on from there\ninterrupted\n"
    again = call("rag", "add", folder)
    assert again.out.startswith(f"{1500 - kept} documents added") and again.out.endswith(f"{kept} unchanged\n")


def stored(store: Path) -> list[str]:
    if not (store / "store.sqlite").exists():
        return []
    try:
        with DocumentStore(store, readonly=True) as opened:
            return opened.uris()
    except Exception:  # it is being made
        return []


def embedded_reader() -> bool:
    return (embedded.EMBEDDED["embedded:reader"].folder / "model.safetensors").is_file()


@pytest.mark.skipif(not embedded_reader(), reason="the embedded reader is not trained yet")
def test_the_embedded_models_answer(call: Call, tiny_home: Path) -> None:
    (tiny_home / "config.yaml").unlink()
    call("rag", "add", SAMPLE)
    asked = {
        "Who built the first lighthouse on the Eddystone Rocks?": "Winstanley",
        "When was Augustin-Jean Fresnel born?": "1788",
        "When was Boston Light first lit?": "1716",
        "When did Krakatoa erupt?": "1883",
    }
    lines = "\n".join(asked).encode()
    told = call("rag", "chat", "--threshold", "0", stdin=lines)
    assert [line[2:] for line in told.out.splitlines() if line.startswith("> ")] == list(asked)
    answers = [line for line in told.out.splitlines() if line and line[0] not in " >"]
    right = [part in answer for answer, part in zip(answers, asked.values(), strict=True)]
    assert sum(right) >= 3, answers
    known, unknown = (
        json.loads(call("rag", "ask", question, "--json").out)
        for question in ("When was Augustin-Jean Fresnel born?", "What is the capital of Peru?")
    )
    assert known["confidence"] > unknown["confidence"]


def test_web_addresses_are_fetched_where_asked(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmgen.ingest.web import url_fetch

    def fetch(url: str, settings: object) -> url_fetch.FetchedFile:
        if "inside" in url:
            raise Forbidden("it is not at a public address")
        return url_fetch.FetchedFile(url, b"<p>Hirta was lit in 1823.", "text/html")

    monkeypatch.setattr(url_fetch, "fetch", fetch)
    page, store = "https://example.org/hirta", tmp_path / "web"
    refused = call("rag", "add", page, "--store", store)
    assert refused.code == 2 and f"{page} is a web address; --fetch reads what stands there" in refused.err
    added = call("rag", "add", page, "http://inside.test", "--store", store, "--fetch")
    assert added.code == 1 and "1 documents added" in added.out and "skipped http://inside.test: it is not" in added.err
    assert call("rag", "show", "hirta", "--store", store).out.strip() == "Hirta was lit in 1823."
    assert call("rag", "add", page, "--store", store, "--fetch").out.endswith("1 unchanged\n")
