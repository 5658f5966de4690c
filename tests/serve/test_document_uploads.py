"""Uploaded files, each with its own outcome: what cannot be read never keeps the others out."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mmgen.engine.job import Request
from mmgen.errors import NotFound
from mmgen.ingest.web import url_fetch
from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime
from mmgen.serve.document_uploads import Upload, add_uploads, remove
from mmgen.serve.settings import ServeConfig

LAMP = b"The lamp was lit in 1823. It stands in Harwick."


@pytest.fixture
def library(seer: Runtime, tmp_path: Path) -> Iterator[DocumentLibrary]:
    library = DocumentLibrary.open(seer, tmp_path / "store")
    library.writable()
    yield library
    library.close()


def png(optimize: bool) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((40, 40)).convert("RGB").save(out, "PNG", optimize=optimize)
    return out.getvalue()


def outcomes(library: DocumentLibrary, *uploads: Upload) -> list[tuple[str, str, str | None]]:
    found = add_uploads(library, uploads, ServeConfig(), Request.new())
    return [(one.name, one.status, one.reason) for one in found.data]


def upload(name: str, data: bytes, **metadata: str) -> Upload:
    return Upload(name, data, "", metadata)


def test_each_in_its_place(library: DocumentLibrary) -> None:
    found = add_uploads(
        library,
        [
            upload("lamp.txt", LAMP, lang="en"),
            upload("bad.pdf", b"%PDF-1.4 nothing"),
            upload("cats.md", b"# Cats\n\nThey sleep."),
        ],
        ServeConfig(),
        Request.new(),
    )
    assert [(one.name, one.status) for one in found.data] == [
        ("lamp.txt", "added"),
        ("bad.pdf", "failed"),
        ("cats.md", "added"),
    ]
    assert found.data[1].reason and found.data[1].id is None and found.passages == library.readable().count() == 2
    document = library.readable().document(found.data[0].id or 0)
    assert (document.uri, document.text, document.metadata["lang"]) == ("lamp.txt", LAMP.decode(), "en")
    again = add_uploads(library, [upload("lamp.txt", LAMP, lang="en")], ServeConfig(), Request.new())
    assert (again.data[0].status, again.data[0].id, again.passages) == ("unchanged", found.data[0].id, 0)


def test_a_name_is_never_opened(library: DocumentLibrary, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not uploaded")
    assert outcomes(library, upload(str(secret), LAMP)) == [(str(secret), "added", None)]
    assert library.readable().document(str(secret)).text == LAMP.decode() and secret.read_text() == "not uploaded"


def test_an_image_is_kept_as_a_file_until_it_is_removed(library: DocumentLibrary) -> None:
    image = png(optimize=False)
    added = add_uploads(library, [upload("gray.png", image), upload("torn.png", image[:60])], ServeConfig(), Request.new())
    assert [one.status for one in added.data] == ["added", "failed"] and added.data[1].reason
    (kept,) = (library.path / "files").iterdir()
    assert kept.read_bytes() == image and kept.suffix == ".png"
    twin = add_uploads(library, [upload("twin.png", png(optimize=True))], ServeConfig(), Request.new()).data[0]
    assert (twin.status, twin.id) == ("unchanged", added.data[0].id), "the same pixels in another file"
    assert list((library.path / "files").iterdir()) == [kept]
    assert added.data[0].id is not None
    remove(library, added.data[0].id)
    assert not kept.exists()
    with pytest.raises(NotFound):
        remove(library, added.data[0].id)


def test_addresses(library: DocumentLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    (refused,) = outcomes(library, Upload("lamp.txt", None, "http://127.0.0.1/lamp.txt", {}))
    assert refused[:2] == ("lamp.txt", "failed") and refused[2]
    page = b"<p>The lamp of Harwick was lit in 1823."
    monkeypatch.setattr(url_fetch, "fetch", lambda url, settings: url_fetch.FetchedFile(url, page, "text/html"))
    assert outcomes(library, Upload("lamp.txt", None, "https://example.com/lamp", {})) == [("lamp.txt", "added", None)]
    assert outcomes(library, Upload("", None, "https://example.com/lamp", {})) == [("lamp.html", "added", None)]
    assert library.readable().document("lamp.html").text == "The lamp of Harwick was lit in 1823."


def test_a_store_has_to_be_there(seer: Runtime, tmp_path: Path) -> None:
    library = DocumentLibrary.open(seer, tmp_path / "none")
    with pytest.raises(NotFound, match="there is no store at"):
        add_uploads(library, [upload("lamp.txt", LAMP)], ServeConfig(), Request.new())
