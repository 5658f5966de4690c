"""E-books: the order of reading, titles of chapters, no table of contents."""

from pathlib import Path

import pytest
from office_files import zipped

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.formats import package
from mmgen.ingest.formats.epub import epub
from mmgen.ingest.records import PARTIAL

PATH = Path("a.epub")
CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
OPF = f"""<!DOCTYPE package><package {DC}><metadata><dc:title>Tides</dc:title><dc:creator>Lu Yu</dc:creator></metadata>
    <manifest>
    <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="b" href="b%20two.xhtml" media-type="application/xhtml+xml"/>
    <item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>
    <item id="i" href="i.png" media-type="image/png"/></manifest>
    <spine><itemref idref="nav"/><itemref idref="b"/><itemref idref="a"/><itemref idref="i"/></spine></package>"""
NAV = '<html><nav><ol><li><a href="b%20two.xhtml#x">Second first</a></li><li><a href="a.xhtml">Other</a></li></ol></nav></html>'


def book(**more: str) -> bytes:
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": OPF,
        "OEBPS/nav.xhtml": NAV,
        "OEBPS/b two.xhtml": "<html><title>x</title><p>Ebb &amp; flow.</p><aside>A note.</aside></html>",
        "OEBPS/a.xhtml": "<html><h2>Own title</h2><p>Low on day 1.</p></html>",
    }
    return zipped({**parts, **{f"META-INF/{name}.xml": content for name, content in more.items()}})


def test_chapters() -> None:
    text, pages, metadata = epub(PATH, book())
    assert text == ("# Second first\n\nEbb & flow.\n\nA note.\n\n## Own title\n\nLow on day 1.")
    assert pages == () and metadata == {"title": "Tides", "author": "Lu Yu", PARTIAL: "1 chapters that are no text (4)"}


def test_titles_of_the_older_table_of_contents() -> None:
    ncx = '<ncx><navPoint><navLabel><text>Old title</text></navLabel><content src="b%20two.xhtml"/></navPoint></ncx>'
    opf = OPF.replace('properties="nav"', "").replace('<itemref idref="nav"/>', "")
    opf = opf.replace("<manifest>", '<manifest><item id="n" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
    parts = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": opf,
        "OEBPS/toc.ncx": ncx,
        "OEBPS/b two.xhtml": "<p>Ebb.</p>",
    }
    text, _, metadata = epub(PATH, zipped(parts))
    assert text == "# Old title\n\nEbb." and "chapter OEBPS/a.xhtml, which a damaged epub" in metadata[PARTIAL]


def test_bad_input_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fonts may be encrypted, chapters not."""
    method = '<encryption><EncryptionMethod Algorithm="{}"/></encryption>'.format
    assert epub(PATH, book(encryption=method("http://www.idpf.org/2008/embedding")))[0]
    with pytest.raises(Unreadable, match=r"is encrypted \(DRM\)"):
        epub(PATH, book(encryption=method("http://www.w3.org/2001/04/xmlenc#aes128-cbc")))
    for data, message in (
        (book()[:-50], "is a damaged epub"),
        (zipped({"META-INF/container.xml": "<container/>"}), "names no package document"),
        (zipped({"word/document.xml": ""}), "is no epub but docx"),
        (b"%PDF", "is no epub but a pdf"),
    ):
        with pytest.raises(Unreadable, match=message):
            epub(PATH, data)
    monkeypatch.setattr(package, "GROWTH", 0)
    monkeypatch.setattr(package, "ROOM", len(CONTAINER + OPF + NAV) + 100)
    assert "unpacks to more than" in epub(PATH, book())[2][PARTIAL]
