"""What people get wrong, and machines: each is told in one clear line, and what was there before is there after."""

import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from cli_call import Call, Called

import mmgen
from mmgen.errors import BadRequest, BadWeights, NotFound, StoreError
from mmgen.runtime import Runtime
from mmgen.stores.schema import VERSION

LAMP = "The lamp was lit in 1823."


@pytest.fixture(autouse=True)
def filled(call: Call, tiny_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A store with one document, checked after every test to hold it still."""
    source = tmp_path / "lamp.txt"
    source.write_text(LAMP)
    assert call("rag", "add", source).code == 0
    source.unlink()  # from here on the store alone has it
    yield tiny_home / "stores" / "default"
    (tiny_home / "config.yaml").touch()
    assert call("rag", "show", "lamp.txt").out == LAMP + "\n"


def told(called: Called, *parts: str, code: int = 2) -> str:
    """One line on stderr with these words in it, nothing on stdout that looks like success."""
    assert called.code == code, called
    assert called.err.endswith("\n") and called.err.count("\n") == 1, called.err
    assert "Traceback" not in called.err + called.out
    for part in parts:
        assert part in called.err, called.err
    assert code == 1 or called.out == ""
    return called.err


def skipped(called: Called, *parts: str) -> None:
    """The one file was skipped with its reason, exit code 1; what could be read went in."""
    line = told(called, *parts, code=1)
    assert line.startswith("skipped ") and "1 skipped" in called.out


@pytest.mark.parametrize("question", ["", "   ", "\n"])
def test_empty_question(call: Call, question: str) -> None:
    told(call("rag", "ask", question), "error: the question is empty; ask something")
    told(call("rag", "ask", "-", stdin=question.encode()), "error: the question is empty")
    told(call("rag", "search", question), "error: the query is empty")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-k", "0"], "k is 0; it can be 1 to 100 passages"),
        (["-k", "-3"], "k is -3"),
        (["-k", "1000000"], "k is 1000000"),
        (["-k", "many"], "Invalid value for '-k'"),
        (["--threshold", "nan"], "threshold is nan; it can be 0 to 1"),
        (["--threshold", "-0.1"], "threshold is -0.1"),
        (["--grounding", "loose"], "'loose' is not one of"),
        (["--where", "lang"], "filter 'lang' cannot be understood; write name=value"),
        (["--bogus"], "No such option: --bogus"),
        (["--grouding", "cite"], "--grounding"),
        (["--store", ".."], "store '..' is no name"),
        (["--reader", "embedded:raeder"], 'did you mean "embedded:reader"'),
        (["--reader", "embedded:minilm"], "embedded:minilm is of kind encoder, not reader"),
    ],
)
def test_bad_options(call: Call, options: list[str], message: str) -> None:
    told(call("rag", "ask", "When?", *options), message)


def test_unknown_pipeline_and_command(call: Call) -> None:
    told(call("rag-txt", "When?"), "rag-txt", "rag-text")
    told(call("rag", "akk", "When?"), "akk", "ask")
    with pytest.raises(NotFound, match=r'no pipeline "rag-txt" .did you mean "rag-text"'):
        mmgen.pipeline("rag-txt")
    with pytest.raises(BadRequest, match=r'no option "stor" .did you mean "store"'):
        mmgen.pipeline("rag-text", stor="x")


def test_missing_path(call: Call, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("Good.")
    told(call("rag", "add", tmp_path / "good.txt", tmp_path / "nowhere"), "nowhere does not exist; give a file or a folder")
    assert "good.txt" not in call("rag", "list").out, "nothing is added by halves"
    told(call("rag", "add"), "Missing argument")


def test_folder_without_readable_files(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    told(call("rag", "add", folder), f"{folder}: no files to read; give files or a folder with txt, md,")
    (folder / "a.png").write_bytes(b"\x89PNG")
    told(call("rag", "add", folder), "no files to read", "; left out as hidden or without text: 1 png")
    (folder / "a.png").unlink()
    (folder / "a.txt").touch()
    skipped(call("rag", "add", folder), "a.txt is empty; there is nothing to add")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.txt", b"", "is empty; there is nothing to add"),
        ("blank.md", b" \n\n", "is empty"),
        ("binary.txt", bytes(range(256)) * 20, "is a binary file"),
        ("damaged.pdf", b"%PDF-1.7\nnot really\n%%EOF", "is a damaged pdf"),
        ("nothing.pdf", b"no pdf at all", "is a damaged pdf"),
        ("damaged.docx", b"PK\x03\x04 cut short", "is a damaged docx"),
        ("damaged.jsonl", b'{"text": \n', "is damaged at line 1"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(40), "is an image; add it with --images"),
    ],
)
def test_files_that_cannot_be_read(call: Call, tmp_path: Path, name: str, data: bytes, message: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good.txt").write_text("Good.")
    (folder / name).write_bytes(data)
    skipped(call("rag", "add", folder), str(folder / name), message)
    assert "good.txt" in call("rag", "list").out


def test_encrypted_pdf(call: Call, tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(buffer := BytesIO())
    canvas.drawString(72, 700, "Secret")
    canvas.save()
    writer = PdfWriter(clone_from=PdfReader(buffer))
    writer.encrypt("password", algorithm="AES-256")
    writer.write(tmp_path / "secret.pdf")
    skipped(call("rag", "add", tmp_path / "secret.pdf"), "secret.pdf is encrypted; save it without a password first")


def test_200_megabytes(call: Call, tmp_path: Path) -> None:
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(200 * 2**20)
    (tmp_path / "good.txt").write_text("Good.")
    began = time.process_time()
    skipped(call("rag", "add", tmp_path), "huge.txt is 200 MB, the limit is 64 MB; split it")
    assert time.process_time() - began < 20, "it is refused unread"
    assert "good.txt" in call("rag", "list").out


def test_invalid_utf8(call: Call, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(("Das Café in Köln öffnet täglich um acht. " * 9).encode("latin-1"))
    (tmp_path / "torn.txt").write_bytes("Käse, Öl, Brötchen, Äpfel und Übung: ".encode() * 3 + b"\xff torn")
    assert call("rag", "add", tmp_path).code == 0
    assert "Café in Köln öffnet" in call("rag", "show", "latin.txt").out
    assert call("rag", "show", "torn.txt").out.endswith("\ufffd torn\n")
    assert json.loads(call("rag", "show", "torn.txt", "--json").out)["metadata"] == {
        "encoding": "utf-8, 1 characters unreadable"
    }


def test_a_name_that_is_not_utf8(call: Call, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "caf\udce9.txt").write_text("Coffee.")
    skipped(call("rag", "add", tmp_path / "folder"), "caf\\udce9.txt has a name that is not UTF-8; rename it")


def test_a_named_pipe_does_not_block(call: Call, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    skipped(call("rag", "add", tmp_path / "pipe.txt"), "pipe.txt is no regular file; pipe its content to standard input")


def test_store_of_a_newer_version(call: Call, filled: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(filled, tmp_path / "newer")
    connection = sqlite3.connect(copy / "store.sqlite")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = (copy / "store.sqlite").read_bytes()
    (tmp_path / "more.txt").write_text("More.")
    for command in (["list"], ["ask", "When?"], ["add", tmp_path / "more.txt"], ["remove", "lamp.txt"]):
        told(call("rag", *command, "--store", copy), f"has format 99, this mmgen reads up to {VERSION}; upgrade mmgen")
    assert (copy / "store.sqlite").read_bytes() == before


def test_other_files_in_the_stores_place(call: Call, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("More.")
    other, text = tmp_path / "other", tmp_path / "text"
    for folder in (other, text):
        folder.mkdir()
    connection = sqlite3.connect(other / "store.sqlite")
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    (text / "store.sqlite").write_text("These are my notes about SQLite.")
    for folder, message in ((other, "is some other program's SQLite file; give another --store"), (text, "is no mmgen store")):
        before = (folder / "store.sqlite").read_bytes()
        for command in (["list"], ["ask", "When?"], ["add", tmp_path / "more.txt"]):
            told(call("rag", *command, "--store", folder), message)
        assert (folder / "store.sqlite").read_bytes() == before
    told(call("rag", "add", tmp_path / "more.txt", "--store", tmp_path / "more.txt" / "s"), "cannot be made (Not a directory)")


def test_damaged_store(call: Call, filled: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(filled, tmp_path / "damaged")
    file = copy / "store.sqlite"
    data = file.read_bytes()
    file.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    told(call("rag", "list", "--store", copy), "is damaged", "restore a copy, or add the documents anew")


def mount(folder: Path, options: str) -> None:
    """A file system of its own at `folder`; skips where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr.decode().strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    mount(disk, "size=1m")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_full_disk(call: Call, small_disk: Path, tmp_path: Path) -> None:
    store = small_disk / "store"
    (tmp_path / "first.txt").write_text("First.")
    (tmp_path / "large.txt").write_text("\n".join(f"Line {number} of a large text." for number in range(20_000)))
    assert call("rag", "add", tmp_path / "first.txt", "--store", store).code == 0
    told(
        call("rag", "add", tmp_path / "large.txt", "--store", store), "cannot grow", "make room, what was added before is safe"
    )
    assert [d["uri"] for d in json.loads(call("rag", "list", "--store", store, "--json").out)] == [str(tmp_path / "first.txt")]
    assert call("rag", "ask", "When?", "--store", store).code == 0
    assert call("rag", "remove", "first.txt", "--store", store).code == 0, "room can be made"


def test_disk_without_any_room(call: Call, small_disk: Path, tmp_path: Path) -> None:
    with (small_disk / "ballast").open("wb") as file, pytest.raises(OSError, match="No space"):
        file.write(bytes(4 * 2**20))
    (tmp_path / "first.txt").write_text("First.")
    told(call("rag", "add", tmp_path / "first.txt", "--store", small_disk / "store"), "store")
    (small_disk / "ballast").unlink()
    assert call("rag", "add", tmp_path / "first.txt", "--store", small_disk / "store").code == 0


def test_read_only_place(call: Call, filled: Path, tmp_path: Path) -> None:
    """Root passes over permissions, so the file system itself is read-only."""
    disk = tmp_path / "disk"
    mount(disk, "size=8m")
    try:
        shutil.copytree(filled, disk / "store")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        (tmp_path / "more.txt").write_text("More.")
        for command in (["add", tmp_path / "more.txt"], ["remove", "lamp.txt"]):
            told(call("rag", *command, "--store", disk / "store"), "(unable to open database file); check its permissions")
        told(call("rag", "add", tmp_path / "more.txt", "--store", disk / "new"), "cannot be made (Read-only file system)")
        assert call("rag", "show", "lamp.txt", "--store", disk / "store").out == LAMP + "\n"
        assert call("rag", "ask", "When?", "--threshold", "0", "--store", disk / "store").code == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root passes over permissions")
def test_folder_without_permission(call: Call, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("More.")
    (tmp_path / "closed").mkdir(mode=0o500)
    told(call("rag", "add", tmp_path / "more.txt", "--store", tmp_path / "closed" / "s"), "cannot be made (Permission denied)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("encodr: x\n", 'unknown key "encodr" (did you mean "encoder"?)'),
        ("threads: many\n", "threads is 'many'"),
        ("threads: 0\n", "threads is 0"),
        ("device: gpu\n", "expected auto, cpu, cuda, cuda:N or mps"),
        ("{[", "not valid YAML"),
        ("- a\n- b\n", "holds a list"),
        ("encoder: no/such\nreader: embedded:minilm\n", "embedded:minilm is of kind encoder, not reader"),
    ],
)
def test_bad_configuration(call: Call, tiny_home: Path, text: str, message: str) -> None:
    good = (tiny_home / "config.yaml").read_text()
    (tiny_home / "config.yaml").write_text(text)
    told(call("rag", "ask", "When?"), message)
    (tiny_home / "config.yaml").write_text(good)


def test_corrupt_weights(call: Call, tiny_reader: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    reader = shutil.copytree(tiny_reader, tmp_path / "reader")
    weights = reader / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    told(call("rag", "ask", "When?", "--reader", reader), "model.safetensors is damaged", "fetch the model again")
    weights.unlink()
    told(call("rag", "ask", "When?", "--reader", reader), "holds no *.safetensors")
    encoder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    (encoder / "model.safetensors").write_bytes(b"\xff" * 500)
    (tmp_path / "more.txt").write_text("More.")
    store = tmp_path / "store"
    told(call("rag", "add", tmp_path / "more.txt", "--encoder", encoder, "--store", store), "model.safetensors is damaged")
    assert not store.exists()
    with Runtime() as rt, pytest.raises(BadWeights):
        rt.encoder(str(encoder))


def test_weights_of_another_model(call: Call, tiny_encoder: Path, tmp_path: Path) -> None:
    told(call("rag", "ask", "When?", "--reader", tiny_encoder), "is no reader's configuration")


def test_another_encoder_than_the_stores(call: Call, tmp_path: Path, tiny_encoder: Path) -> None:
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    (tmp_path / "more.txt").write_text("More.")
    told(call("rag", "add", tmp_path / "more.txt", "--encoder", other), "was filled by", "use that encoder, or another --store")


def test_two_writers(call: Call, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("More.")
    other = sqlite3.connect(filled / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    told(call("rag", "add", tmp_path / "more.txt"), "is being written by another process; try again when it is done")
    assert call("rag", "ask", "When?").code == 0, "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    assert call("rag", "add", tmp_path / "more.txt").code == 0


def test_python_raises_the_same(tiny_home: Path, tmp_path: Path, filled: Path) -> None:
    with Runtime() as rt:
        rag = mmgen.pipeline("rag-text", runtime=rt)
        with pytest.raises(NotFound, match="nowhere does not exist"):
            rag.add(tmp_path / "nowhere")
        with pytest.raises(BadRequest, match="k is 0"):
            rag("When?", k=0)
        with pytest.raises(StoreError, match="is no mmgen store"):
            (tmp_path / "store.sqlite").write_text("notes")
            mmgen.pipeline("rag-text", runtime=rt, store=str(tmp_path))("When?")
        rag.close()
