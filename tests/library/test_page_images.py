"""Pages of stored documents are drawn from the very file that was added, and from no other."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pdf_files import lines, pdf_of
from PIL import Image

from mmgen.errors import BadRequest, NotFound
from mmgen.ingest.pdf.render import MARKER
from mmgen.library import page_images
from mmgen.library.document_library import DocumentLibrary

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

DATA = pdf_of(lines("The rent is 1,150 euros."), lines("The end."))


@pytest.fixture
def library(painter: "Runtime", tmp_path: Path) -> Iterator[DocumentLibrary]:
    made = DocumentLibrary.open(painter, tmp_path / "store")
    yield made
    made.close()


def test_a_page_of_a_file(library: DocumentLibrary, tmp_path: Path) -> None:
    file = tmp_path / "lease.pdf"
    file.write_bytes(DATA)
    library.add(file)
    number = library.readable().id_of(str(file))
    assert number is not None
    at = library.readable().document(number).text.index("1,150")
    image = Image.open(io.BytesIO(page_images.page_image(library, number, 1, (at, at + 5), width=595)))
    (box,), _ = library.readable().places(number, at, at + 5)  # type: ignore[attr-defined]
    assert image.size[0] == 595 and image.getpixel((round(box.left) - 1, round(box.bottom))) == MARKER
    for bad, error, message in [
        ({"page": 3}, NotFound, "lease.pdf has no page 3; it has 2"),
        ({"page": 1, "width": 50}, BadRequest, "width is 50; it can be 100 to 2000 pixels"),
    ]:
        with pytest.raises(error, match=message):
            page_images.page_image(library, number, **bad)  # type: ignore[arg-type]
    file.write_bytes(pdf_of(lines("Something else.")))
    with pytest.raises(NotFound, match=r"lease.pdf has changed since it was added; add it again to see its pages"):
        page_images.page_image(library, number, 1)
    file.unlink()
    with pytest.raises(NotFound, match=r"the file of lease.pdf is gone; its text is in the store, its pages cannot be shown"):
        page_images.page_image(library, number, 1)


def test_an_upload_has_a_copy_until_it_is_removed(library: DocumentLibrary) -> None:
    document = library.load(Path("lease.pdf"), DATA, metadata={})
    library.add(documents=[document])
    page_images.keep(library.path, document, DATA)
    number = library.readable().id_of("lease.pdf")
    assert number is not None and page_images.page_image(library, number, 2, format="WEBP")[8:12] == b"WEBP"
    page_images.forget(library, document.content_hash)
    assert len(list((library.path / "files").iterdir())) == 1, "the store still has it"
    library.writable().remove("lease.pdf")
    page_images.forget(library, document.content_hash)
    assert not list((library.path / "files").iterdir())


def test_other_formats_have_no_pages(library: DocumentLibrary, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The rent.")
    library.add(tmp_path / "a.txt")
    with pytest.raises(BadRequest, match=r"a.txt is text; only pages of pdf files can be shown"):
        page_images.page_image(library, library.readable().id_of(str(tmp_path / "a.txt")) or 0, 1)
