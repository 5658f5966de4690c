"""What stands at a web address is named by its type, and refused where it holds no text."""

import pytest

from mmgen.engine.job import Request
from mmgen.errors import UnreadableFile
from mmgen.ingest.web import url_fetch
from mmgen.ingest.web.url_fetch import FetchedFile
from mmgen.library import web_documents
from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime
from mmgen.serve.settings import ServeConfig


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://example.org/lights/", "text/html", "lights.html"),
        ("https://example.org", "text/html", "example.org.html"),
        ("https://example.org/a.php?x=1", "application/pdf", "a.php.pdf"),
        ("https://example.org/read.MD", "text/plain", "read.MD"),
        ("https://example.org/caf%C3%A9.html", "text/html", "café.html"),
        ("https://example.org/a.docx", "application/octet-stream", "a.docx"),
        ("https://example.org/notes", "", "notes"),
    ],
)
def test_names(url: str, kind: str, name: str) -> None:
    assert web_documents.name_of(FetchedFile(url, b"", kind)) == name


@pytest.mark.parametrize("kind", ["image/png", "video/mp4", "application/zip"])
def test_what_holds_no_text_is_refused(kind: str) -> None:
    with pytest.raises(UnreadableFile, match=f"it is {kind}, which holds no text"):
        web_documents.name_of(FetchedFile("https://example.org/a.md", b"", kind))


def test_the_type_that_an_answer_names() -> None:
    found = url_fetch.fetch("data:Text/HTML; charset=ISO-8859-5;base64,vuDX", ServeConfig())
    assert (found.kind, found.charset, found.data) == ("text/html", "iso-8859-5", b"\xbe\xe0\xd7")
    assert web_documents.text_bytes(found).decode() == "Орз"
    assert web_documents.text_bytes(FetchedFile("", "é".encode(), "text/plain", "latin-1")) == "é".encode(), "valid UTF-8 stays"
    assert web_documents.text_bytes(FetchedFile("", b"\xe9", "text/plain", "rot13")) == b"\xe9"


def test_a_page_becomes_a_document(tiny_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    page = FetchedFile("https://example.org/lights/", b"<h1>Lights</h1><p>Hirta was lit in 1823.", "text/html")
    monkeypatch.setattr(url_fetch, "fetch", lambda url, settings: page)
    document = web_documents.document_at(
        "https://example.org/l", DocumentLibrary.open(tiny_runtime), {"lang": "en"}, Request.new()
    )
    assert (document.uri, document.kind, document.metadata) == ("https://example.org/l", "html", {"lang": "en"})
    assert document.text == "# Lights\n\nHirta was lit in 1823."
