"""Real files of every format, made on the spot, and all that can be wrong with them."""

import io
import json
import logging
import os
import re
from pathlib import Path

import pytest
from office_files import compound, paragraph, word

from mmgen.errors import NotFound, UnreadableFile
from mmgen.ingest.loaders import load, load_stdin
from mmgen.ingest.splitter import split


def make_pdf(path: Path, pages: list[str], password: str | None = None, algorithm: str = "AES-256") -> Path:
    from pypdf import PdfReader, PdfWriter
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(buffer := io.BytesIO())
    for text in pages:
        canvas.drawString(72, 700, text)
        canvas.showPage()
    canvas.save()
    writer = PdfWriter(clone_from=PdfReader(buffer))
    if password is not None:
        writer.encrypt(password, algorithm=algorithm)
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


@pytest.mark.parametrize("algorithm", ["AES-256", "RC4-128"])
def test_pdf_with_an_empty_password_opens(tmp_path: Path, algorithm: str) -> None:
    assert load(make_pdf(tmp_path / "a.pdf", ["Open"], password="", algorithm=algorithm)).text == "Open"


def test_docx(tmp_path: Path) -> None:
    import docx

    made = docx.Document()
    made.add_heading("Tea", 1)
    made.add_paragraph("It is a leaf.")
    table = made.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Origin", "China"
    made.save(str(tmp_path / "a.docx"))
    assert load(tmp_path / "a.docx").text == "# Tea\n\nIt is a leaf.\n\nOrigin | China"


def test_docx_with_all_that_word_puts_in(tmp_path: Path) -> None:
    """Content controls and insertions hold text, merged cells hold it once, a title and lists have their marks."""
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    made = docx.Document()
    made.core_properties.title = "On tea"
    made.add_heading("All of it", 0)
    made.add_paragraph("green", style="List Bullet")
    table = made.add_table(2, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Both"
    table.cell(1, 0).text, table.cell(1, 1).text = "one", "two\nlines"
    body = made.element.body
    run = "<w:r><w:t>{}</w:t></w:r>"
    control = f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p>{run.format('controlled')}</w:p></w:sdtContent></w:sdt>"
    deleted = '<w:del w:id="2"><w:r><w:delText>gone</w:delText></w:r></w:del>'
    insertion = f'<w:p {nsdecls("w")}><w:ins w:id="1">{run.format("inserted")}</w:ins>{deleted}</w:p>'
    for position, part in enumerate((control, insertion)):
        body.insert(position, parse_xml(part))
    made.save(str(tmp_path / "a.docx"))
    document = load(tmp_path / "a.docx")
    assert document.text == "controlled\n\ninserted\n\n# All of it\n\n- green\n\nBoth\none | two lines"
    assert document.metadata == {"title": "On tea"}


def test_office_files_by_their_names_and_by_their_content(tmp_path: Path) -> None:
    made, mail = word(paragraph("Deposit: 900 euros.")), b"Subject: Deposit\nFrom: Ann <a@x.org>\n\n900 euros."
    for name, data, kind in (
        ("a.docm", made, "docx"),
        ("a.bin", made, "docx"),
        ("a.doc", rb"{\rtf1 900 euros.}", "rtf"),
        ("a.eml", mail, "mail"),
        ("a.mbox", b"From a@x.org Mon Jun  3 10:00:00 2024\n" + mail, "mail"),
        ("Inbox", b"From - Mon Jun  3 10:00:00 2024\n" + mail, "mail"),
        ("a.msg", compound({"__properties_version1.0": bytes(32), "__substg1.0_1000001F": "900".encode("utf-16-le")}), "mail"),
    ):
        document = load(write(tmp_path / name, data))
        assert document.kind == kind and "900" in document.text
    commented = word('<w:p><w:r><w:t>A</w:t><w:commentReference w:id="0"/></w:r></w:p>', comments=COMMENT)
    assert "Check this." in load(write(tmp_path / "b.docx", commented), comments=True).text
    with pytest.raises(UnreadableFile, match=r"a.xls is an old Excel file \(.xls\); save it as xlsx"):
        load(write(tmp_path / "a.xls", compound({"Workbook": b"x"})))


COMMENT = f'<w:comment w:id="0" w:author="Ann">{paragraph("Check this.")}</w:comment>'


def test_csv(tmp_path: Path) -> None:
    document = load(write(tmp_path / "a.csv", 'name;year\n"Tea; green";1823\nCoffee;\n'))
    assert document.text == "name: Tea; green\nyear: 1823\n\nname: Coffee"
    assert document.metadata["rows"] == 2


def test_every_passage_of_a_long_row_names_the_row(tmp_path: Path) -> None:
    log = " ".join(f"Pump {n} ran." for n in range(300))
    document = load(write(tmp_path / "a.csv", f'id;log\n4711;"{log}"\n4712;Valve 9 leaks.\n'))
    passages = split(document, lambda text: [m.span() for m in re.finditer(r"\w+|[^\w\s]", text)])
    assert len(passages) > 3
    assert all(document.text[p.start : p.end] == p.text and p.text.startswith("id: 4711\nlog: Pump") for p in passages)


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.csv", 'a,b\n"one\n\ntwo",2\n', "a: one two\nb: 2"),
        ("a.csv", "a,b\n1,2,3\n", "a: 1\nb: 2\ncolumn 3: 3"),
        ("a.csv", "name,remark\nTea,a; b; c; d\n", "name: Tea\nremark: a; b; c; d"),
        ("a.csv", "name\nBob\nAnn\n", "name: Bob\n\nname: Ann"),
        ("a.csv", "only,a header\n", "only,a header\n"),
        ("a.tsv", "a, b\tc\n1\t2\n", "a, b: 1\nc: 2"),
    ],
)
def test_csv_of_other_kinds(tmp_path: Path, name: str, data: str, text: str) -> None:
    assert load(write(tmp_path / name, data)).text == text


def test_jsonl_and_json(tmp_path: Path) -> None:
    rows = [
        {"title": "Tea", "text": "A leaf.", "tags": ["x", "y"], "by": {"name": "Lu Yu"}, "sold": True, "none": None},
        {},
        "plain",
    ]
    document = load(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n"))
    assert document.text == "title: Tea\ntags: x, y\nby.name: Lu Yu\nsold: true\nA leaf.\n\nplain"
    assert load(write(tmp_path / "a.json", json.dumps(rows))).text == document.text
    assert load(write(tmp_path / "b.json", '{"a": [1]}')).text == '{\n  "a": [\n    1\n  ]\n}'


def test_other_encodings(tmp_path: Path) -> None:
    text = "Der Bäcker verkauft süße Brötchen, und die Straße ist schön. " * 5
    document = load(write(tmp_path / "a.txt", text.encode("latin-1")))
    assert document.text == text and document.metadata["encoding"]
    assert load(write(tmp_path / "b.txt", text.encode("utf-16"))).text == text


def test_invalid_utf8_is_still_read(tmp_path: Path) -> None:
    document = load(write(tmp_path / "a.txt", b"The lamp was lit in 1823. " * 20 + b"\xff\xfe\xfd" + b" It shone." * 20))
    assert "The lamp was lit in 1823." in document.text and document.metadata["encoding"]


def test_unknown_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert load(write(tmp_path / "notes.xyz", "Some text.")).kind == "text"
    assert load(write(tmp_path / "page", " <!DOCTYPE html><p>Some text.")).text == "Some text."
    assert load_stdin(make_pdf(tmp_path / "a.pdf", ["Some text."]).read_bytes()).kind == "pdf"


def test_what_utf8_cannot_store_is_replaced(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.json", '["x \\ud800"]')).text == "x \ufffd"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "Some text.")
    monkeypatch.chdir(tmp_path)
    assert load("a.txt").uri == load(Path("a.txt")).uri == str(path)


def test_plugins_come_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", "quiet")
    document = load(path, loaders={"md": lambda path, data: (data.decode().upper(), (), {"loud": True})})
    assert (document.text, document.kind, document.metadata) == ("QUIET", "md", {"loud": True})


def test_stdin() -> None:
    document = load_stdin(b"Some text.", metadata={"lang": "en"})
    assert (document.uri, document.text, document.metadata) == ("stdin", "Some text.", {"lang": "en"})
    assert load_stdin("caf\u00e9 \ud800", "notes.md").text == "caf\u00e9 ?"
    assert load_stdin("x", "notes.md").kind == "markdown"


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
        (
            "a.docx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "is a damaged OLE file, as old office programs wrote",
        ),
        ("a.json", b'{"a": ', "is damaged json"),
        ("a.json", b"[" * 100_000, "is damaged json (RecursionError"),
        ("a.jsonl", b"[1" + b"0" * 5000 + b"]", "is damaged at line 1"),
        ("a.jsonl", b"\nnot json\nnor this\n", "is damaged at line 2"),
        ("a.txt", bytes(range(256)) * 20, "is a binary file"),
        ("a", b"\x7fELF" + bytes(100), "is a program; give its source"),
        ("a.md", b"%PDF-1.4 text", "is a PDF file by its first bytes; rename it to end in .pdf"),
        ("a.xlsx", b"PK\x03\x04 sheet", "is a damaged xlsx"),
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


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncated_pdf(tmp_path: Path, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    """Refused in one line or read in part; pypdf's own warnings stay away from the terminal."""
    path = make_pdf(tmp_path / "a.pdf", ["Text"] * 5)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    handlers, logging.getLogger().handlers = logging.getLogger().handlers, []  # pytest's own, which would hide the last resort
    try:
        with pytest.raises(UnreadableFile, match=r"is a damaged pdf|no text"):
            load(path)
    finally:
        logging.getLogger().handlers = handlers
    assert capfd.readouterr() == ("", "")


def test_pdf_without_text(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="has 2 pages and no text; its pages are blank"):
        load(make_pdf(tmp_path / "a.pdf", ["", ""]))


def test_a_file_of_200_mb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(UnreadableFile, match="is 200 MB, the limit is 64 MB; split it"):
        load(path)


def test_more_than_the_limit_from_a_pipe() -> None:
    with pytest.raises(UnreadableFile, match="stdin is larger than the limit of 64 MB; split it"):
        load_stdin(b"x" * (64 * 2**20 + 1))


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        load(tmp_path / "none.txt")
    with pytest.raises(NotFound, match="does not exist"):
        load(write(tmp_path / "a.txt", "x") / "b.txt")
    with pytest.raises(NotFound, match="is no file name"):
        load(Path("a\0b"))
    with pytest.raises(UnreadableFile, match="cannot be read"):
        load(tmp_path / ("x" * 300))
    with pytest.raises(UnreadableFile, match="is a folder"):
        load(tmp_path)


def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(UnreadableFile, match="is no regular file"):
        load(tmp_path / "pipe.txt")


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    with pytest.raises(UnreadableFile, match=r"caf\\udce9.txt has a name that is not UTF-8; rename it"):
        load(path, b"Some text.")


def test_the_sample_corpus_loads() -> None:
    folder = Path(__file__).parents[2] / "assets" / "sample"
    documents = {path.name: load(path) for path in sorted(folder.iterdir())}
    assert {document.kind for document in documents.values()} == {"markdown", "text", "html", "csv"}
    assert all("encoding" not in document.metadata for document in documents.values())
    assert documents["krakatoa.html"].text.startswith("# The eruption of Krakatoa in 1883\n\nKrakatoa is")
    assert "planet: Mars\nkind: rocky planet\ndiameter in km: 6792\n" in documents["planets.csv"].text
