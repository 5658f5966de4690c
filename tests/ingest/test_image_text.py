"""Text in image files, read where it is asked for."""

import io
from pathlib import Path

import pytest
from pdf_files import photographed

from mmgen.ingest import image_text
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.pdf.recognition import RecognizedLine
from mmgen.ingest.records import PARTIAL


@pytest.fixture
def data() -> bytes:
    photographed("a line", size=(200, 100)).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def read(monkeypatch: pytest.MonkeyPatch, data: bytes, *found: RecognizedLine) -> object:
    monkeypatch.setattr(image_text, "is_installed", lambda: True)
    monkeypatch.setattr(image_text, "lines_of_image", lambda *_: list(found))
    return image_text.image_text(Path("a.png"), data)


def test_a_screenshot(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    sure, unsure = RecognizedLine("The rent", 0.9, (10, 10, 90, 30)), RecognizedLine("x", 0.2, (10, 50, 90, 60))
    text, pages, found, (page,) = read(monkeypatch, data, sure, unsure)  # type: ignore[misc]
    assert (text, pages, (page.width, page.height)) == ("The rent", (0,), (200, 100))
    assert found == {"recognized_pages": "page 1", PARTIAL: "1 unclear lines"} and page.recognized == pytest.approx(0.9)


def test_what_cannot_be_read(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    with pytest.raises(Unreadable, match="is a picture in which no text was found"):
        read(monkeypatch, data)
    with pytest.raises(Unreadable, match="is no image; give a PNG"):
        read(monkeypatch, b"no image")
    monkeypatch.setattr(image_text, "is_installed", lambda: False)
    with pytest.raises(Unreadable, match=r"is a picture; pip install 'mmgen\[ocr\]' reads it"):
        image_text.image_text(Path("a.png"), data)


def test_every_kind_of_image_has_a_loader() -> None:
    assert image_text.loaders()["jpg"] is image_text.image_text
