"""Images in pdf and html files, with what is said of them; and what must not be taken."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from mmgen.errors import UnreadableFile
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.embedded_images import EmbeddedImage, images_of, inside, listed
from mmgen.ingest.extraction.limits import ExtractionLimits
from mmgen.ingest.records import PARTIAL

RED, BLUE = (255, 0, 0), (0, 0, 255)


def png(colour: tuple[int, int, int], size: int = 40) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(out, "PNG")
    return out.getvalue()


def found(path: Path) -> list[EmbeddedImage]:
    return list(images_of(path, path.read_bytes()))


def html(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(f"<html><body>{body}</body></html>")
    return path


def test_html(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a lamp.png").write_bytes(png(RED))
    inline = base64.b64encode(png(BLUE)).decode()
    page = html(
        tmp_path,
        f"""<figure><img src="img/a%20lamp.png?v=2" alt="A lamp."><figcaption>The lamp
        of <b>1823</b></figcaption></figure><p><img src='data:image/png;base64,{inline}' title="The sea"></p>""",
    )
    lamp, sea = found(page)
    assert (lamp.name, lamp.caption, lamp.page) == ("picture-1", "A lamp. The lamp of 1823", None)
    assert (sea.name, sea.caption) == ("picture-2", "The sea")
    assert lamp.data == png(RED) and sea.data == png(BLUE)


@pytest.mark.parametrize(
    "source",
    ["http://example.org/a.png", "//example.org/a.png", "file:///etc/passwd", "../outside.png", "/etc/hostname", "none.png", "",
     "data:text/html;base64,AAAA", "data:image/png;base64,A", "a\0b.png", "C:/a.png", "link.png"],
)  # fmt: skip
def test_nothing_from_elsewhere(tmp_path: Path, source: str) -> None:
    (tmp_path / "outside.png").write_bytes(png(RED))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "link.png").symlink_to(tmp_path / "outside.png")
    assert found(html(tmp_path / "site", f'<img src="{source}">')) == []


def pdf(path: Path, *pages: tuple[list[tuple[int, int, int]], list[str]]) -> Path:
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path))
    for colours, lines in pages:
        for n, colour in enumerate(colours):
            canvas.drawImage(ImageReader(io.BytesIO(png(colour, 40 + n))), 50, 50 + 100 * n, 80, 80)
        for n, line in enumerate(lines):
            canvas.drawString(50, 700 - 20 * n, line)
        canvas.showPage()
    canvas.save()
    return path


def test_pdf(tmp_path: Path) -> None:
    path = pdf(
        tmp_path / "a.pdf",
        ([], ["Nothing here, see Figure 1."]),
        ([RED], ["As was said", "Figure 1: a red square"]),
        ([RED, BLUE], ["Figure 2: only one line for two"]),
    )
    images = found(path)
    assert [(one.name, one.page) for one in images] == [("picture-1", 2), ("picture-2", 3), ("picture-3", 3)]
    assert [one.caption for one in images] == ["Figure 1: a red square", "", ""]
    colours = {Image.open(io.BytesIO(one.data)).convert("RGB").getpixel((5, 5)) for one in images}
    assert colours == {RED, BLUE}


def test_ornaments_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pdf(tmp_path / "a.pdf", ([RED, BLUE], []))
    monkeypatch.setattr("mmgen.ingest.embedded_images.LEAST", 41)
    assert len(found(path)) == 1
    monkeypatch.setattr("mmgen.ingest.embedded_images.MOST", 0)
    assert found(path) == []


def test_bombs_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pdf(tmp_path / "a.pdf", ([RED, BLUE], []))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40)
    assert len(found(path)) == 1


def test_documents_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 and no more")
    with pytest.raises(Unreadable, match=r"is a damaged pdf"):
        found(tmp_path / "a.pdf")
    (tmp_path / "b.html").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UnreadableFile, match=r"b\.html is a binary file"):
        inside(tmp_path / "b.html", (tmp_path / "b.html").read_bytes())


def test_they_come_from_a_worker_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = pdf(tmp_path / "a.pdf", ([RED, BLUE], ["Figure 1: é"]))
    data = path.read_bytes()
    assert inside(path, data) == found(path) and not caplog.text


def test_what_is_much_larger_than_the_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pdf(tmp_path / "a.pdf", ([RED, BLUE], []))
    monkeypatch.setattr(ExtractionLimits, "characters_for", lambda size: 300)
    text, _, metadata = listed(path, path.read_bytes())
    assert len(text.splitlines()) == 1 and metadata[PARTIAL].startswith("images from picture-2 on")
