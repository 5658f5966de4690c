"""Real files of every format, made on the spot, and all that can be wrong with them."""

import io
import json
from pathlib import Path

import pytest

from mmgen.errors import NotFound, UnreadableFile
from mmgen.ingest.loaders import load, load_stdin


def make_pdf(path: Path, pages: list[str], password: str | None = None) -> Path:
    from pypdf import PdfReader, PdfWriter
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(buffer := io.BytesIO())
    for text in pages:
        canvas.drawString(72, 700, text)
        canvas.showPage()
    canvas.save()
    writer = PdfWriter(clone_from=PdfReader(buffer))
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    with path.open("wb") as file:
        writer.write(file)
    return path


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_markdown_stays_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", "\ufeff# Title\r\n\r\nText\0here.\r")
    document = load(path, metadata={"lang": "en"})
    assert document.text == "# Title\n\nText here.\n"
    assert (document.kind, document.uri, document.metadata) == ("markdown", str(path), {"lang": "en"})


def test_code_knows_its_language(tmp_path: Path) -> None:
    document = load(write(tmp_path / "a.rs", "fn main() {}\n"))
    assert (document.kind, document.metadata["language"]) == ("code", "rust")


def test_pdf_pages(tmp_path: Path) -> None:
    document = load(make_pdf(tmp_path / "a.pdf", ["First page here", "Second page here"]))
    assert document.text == "First page here\n\nSecond page here"
    assert [document.text[at : at + 6] for at in document.pages] == ["First ", "Second"]


def test_pdf_with_an_empty_password_opens(tmp_path: Path) -> None:
    assert load(make_pdf(tmp_path / "a.pdf", ["Open"], password="")).text == "Open"


def test_docx(tmp_path: Path) -> None:
    import docx

    made = docx.Document()
    made.add_heading("Tea", 1)
    made.add_paragraph("It is a leaf.")
    table = made.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Origin", "China"
    made.save(str(tmp_path / "a.docx"))
    assert load(tmp_path / "a.docx").text == "# Tea\n\nIt is a leaf.\n\nOrigin | China"


def test_html(tmp_path: Path) -> None:
    page = (
        "<html><head><title>Tea &amp; more</title><style>p{}</style></head><body><nav>menu</nav><h2>Origin</h2><p>From <b>China</b>,\n"
        "they say.</p><script>x()</script><!-- no --><ul><li>green</li><li>black</li></ul><pre>a\n  b</pre></body></html>"
    )
    document = load(write(tmp_path / "a.html", page))
    assert document.text.startswith("# Tea & more\n\n## Origin\n\nFrom China, they say.\n\n- green\n- black")
    assert "```\na\n  b\n```" in document.text
    assert not any(word in document.text for word in ("menu", "x()", "no -->", "p{}"))
    assert document.metadata["title"] == "Tea & more"


def test_csv(tmp_path: Path) -> None:
    document = load(write(tmp_path / "a.csv", 'name;year\n"Tea; green";1823\nCoffee;\n'))
    assert document.text == "name: Tea; green\nyear: 1823\n\nname: Coffee"
    assert document.metadata["rows"] == 2


def test_jsonl_and_json(tmp_path: Path) -> None:
    rows = [{"title": "Tea", "text": "A leaf.", "tags": ["x"]}, "plain"]
    document = load(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n"))
    assert document.text == "title: Tea\nA leaf.\n\nplain"
    assert load(write(tmp_path / "a.json", json.dumps(rows))).text == document.text
    assert load(write(tmp_path / "b.json", '{"a": [1]}')).text == '{\n  "a": [\n    1\n  ]\n}'


def test_other_encodings(tmp_path: Path) -> None:
    text = "Der Bäcker verkauft süße Brötchen, und die Straße ist schön. " * 5
    document = load(write(tmp_path / "a.txt", text.encode("latin-1")))
    assert document.text == text and document.metadata["encoding"]
    assert load(write(tmp_path / "b.txt", text.encode("utf-16"))).text == text


def test_invalid_utf8_is_still_read(tmp_path: Path) -> None:
    document = load(write(tmp_path / "a.txt", "The lamp was lit in 1823. ".encode() * 20 + b"\xff\xfe\xfd" + b" It shone." * 20))
    assert "The lamp was lit in 1823." in document.text and document.metadata["encoding"]


def test_unknown_suffix_is_read_if_it_is_text(tmp_path: Path) -> None:
    assert load(write(tmp_path / "notes.xyz", "Some text.")).kind == "text"


def test_plugins_come_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", "quiet")
    document = load(path, loaders={"md": lambda path, data: (data.decode().upper(), (), {"loud": True})})
    assert (document.text, document.kind, document.metadata) == ("QUIET", "md", {"loud": True})


def test_stdin() -> None:
    document = load_stdin(b"Some text.", metadata={"lang": "en"})
    assert (document.uri, document.text, document.metadata) == ("stdin", "Some text.", {"lang": "en"})


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    one, two = load(write(tmp_path / "a.txt", "same")), load(write(tmp_path / "b.txt", "same"))
    assert one.content_hash == two.content_hash != load(write(tmp_path / "c.txt", "other")).content_hash


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", "is empty; there is nothing to add"),
        ("a.md", b" \n\t\0\n", "is empty; there is nothing to add"),
        ("a.html", b"<html><script>x</script></html>", "holds no text"),
        ("a.pdf", b"%PDF-1.4 broken", "is a damaged pdf"),
        ("a.docx", b"PK\x03\x04 broken", "is a damaged docx"),
        ("a.json", b'{"a": ', "is damaged json"),
        ("a.jsonl", b'{"text": "x"}\nnot json\n', "is damaged at line 2"),
        ("a.txt", bytes(range(256)) * 20, "is a binary file"),
        ("a", b"\x7fELF" + bytes(100), "is no text file"),
        ("a.md", b"%PDF-1.4 text", "is no text file in spite of its name"),
    ],
)
def test_unreadable_files_say_why_in_one_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(UnreadableFile) as error:
        load(path)
    assert message in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_encrypted_pdf(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="is encrypted; save it without a password first"):
        load(make_pdf(tmp_path / "a.pdf", ["Secret"], password="key"))


def test_truncated_pdf(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["Text"] * 5)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UnreadableFile, match="is a damaged pdf"):
        load(path)


def test_pdf_without_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="has 2 pages and no text: it is scanned; run OCR"):
        load(make_pdf(tmp_path / "a.pdf", ["", ""]))


def test_a_file_of_200_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(UnreadableFile, match="is 200 MB, the limit is 64 MB; split it"):
        load(path)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        load(tmp_path / "none.txt")
    with pytest.raises(UnreadableFile, match="is a folder"):
        load(tmp_path)
