"""Pages that are pictures: what is read, where it stands, how sure it is; and what is kept of a run that was stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pdf_files import both, lines, pdf_of, photographed, picture
from PIL.Image import Image, new

from mmgen.ingest.pdf import extract, recognition
from mmgen.ingest.pdf.document import Frame
from mmgen.ingest.pdf.extract import read
from mmgen.ingest.pdf.recognition import KeptPages, Recognition, RecognizedLine, is_installed, lines_of_image, words_of_line
from mmgen.ingest.records import PARTIAL

needs_rapidocr = pytest.mark.skipif(not is_installed(), reason="rapidocr is not installed: pip install 'mmgen[ocr]'")
SCAN = picture(photographed("scanned"))
LINE = RecognizedLine("The rent is 1,150", 0.9, (100.0, 200.0, 440.0, 230.0))


class Reader:
    """Says the same of every image, and counts them."""

    def __init__(self, *found: RecognizedLine) -> None:
        self.found, self.images = list(found), 0

    def __call__(self, image: Image, alive: object) -> list[RecognizedLine]:
        self.images += 1
        return self.found


def test_a_recognised_line_lies_in_the_text_with_its_boxes_and_its_confidence() -> None:
    unsure = RecognizedLine("smudge", 0.3, (100.0, 300.0, 200.0, 330.0))
    data = pdf_of(lines("The cover of it."), SCAN)
    text, pages, found, layouts = read(data, Recognition(Reader(LINE, unsure)))
    assert text == "The cover of it.\n\nThe rent is 1,150" and pages == (0, 18)
    assert found == {PARTIAL: "1 unclear lines (page 2)", "recognized_pages": "page 2"}
    spans, boxes, sure = layouts[1].words()
    assert np.allclose(sure, 0.9) and layouts[1].recognized == pytest.approx(0.9)
    assert layouts[0].recognized is None and np.isnan(layouts[0].words()[2]).all()
    assert text[spans[3][0] : spans[3][1]] == "1,150"
    assert np.allclose(boxes[3], [(100 + 340 * 9.25 / 13.75) / (200 / 72), 72, 440 / (200 / 72), 82.8], atol=0.06)


def test_words_of_the_files_own_text_are_not_doubled() -> None:
    stamp = RecognizedLine("STAMP", 0.9, (72 * 200 / 72, 74 * 200 / 72, 115 * 200 / 72, 84 * 200 / 72))
    text = read(pdf_of(both(SCAN, lines("STAMP"))), Recognition(Reader(stamp, replace(LINE, box=(100, 600, 440, 630)))))[0]
    assert text == "STAMP\n\nThe rent is 1,150"


def test_a_picture_without_text_and_one_too_large_are_told() -> None:
    found = read(pdf_of(lines("The cover."), SCAN), Recognition(Reader()))[2]
    assert found == {PARTIAL: "a picture in which no text was found (page 2)"}
    huge = pdf_of(picture(photographed(*["a line of the poster"] * 9)), size=(56_700, 56_700))
    with pytest.raises(Exception, match=r"a page of 20.0 x 20.0 m, too large to be recognised"):
        read(huge, Recognition(Reader(LINE)))


def test_what_is_recognised_is_kept_until_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that stops in the third page has the two before; the next one asks for the third alone."""
    reader, data = Reader(LINE), pdf_of(SCAN, SCAN, SCAN)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(extract.progress, "tell", stop)
        read(data, Recognition(reader, folder=tmp_path))
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text() + '[3, [["cut')  # killed while it wrote
    text = read(data, Recognition(reader, folder=tmp_path))[0]
    assert reader.images == 3 and text.count("The rent is 1,150") == 3
    recognition.forget(tmp_path, kept.stem)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_the_resuming_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = KeptPages(tmp_path / "file" / "a.jsonl")
    kept.put(1, [LINE])
    assert kept.get(1) is None


def test_off_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pdf_of(lines("The cover."), SCAN)
    monkeypatch.setattr(recognition, "is_installed", lambda: True)
    assert read(data, Recognition(None, off=True))[2] == {PARTIAL: "page 2 is a picture and was not to be recognised"}
    monkeypatch.setattr(recognition, "is_installed", lambda: False)
    assert not Recognition.installed().ready()
    assert read(data, Recognition.installed())[2] == {PARTIAL: "page 2 is a picture; pip install 'mmgen[ocr]' reads it"}


def test_words_of_lines_that_slope_or_stand_upright() -> None:
    frame = Frame(600, 800, 0, 0, 600, 800, 0)
    first, last = words_of_line(RecognizedLine("ab cd", 1.0, (0.0, 0.0, 100.0, 20.0), 0.1), 1.0, frame)
    assert first.box[1] < last.box[1] and last.box[3] <= 20
    first, last = words_of_line(RecognizedLine("ab cd", 1.0, (0.0, 0.0, 10.0, 100.0)), 1.0, frame)
    assert first.angle == 90 and first.box[1] < last.box[1] and first.x0 < last.x0


@needs_rapidocr
def test_a_photograph_of_paper() -> None:
    lines_of_image(photographed("one", size=(200, 100)))  # an image before it makes no difference
    found = lines_of_image(photographed("The rent is 1,150 euros,", "payable on the third day.", size=(420, 240), turn=0.6))
    assert [line.text for line in found] == ["The rent is 1,150 euros,", "payable on the third day."]
    assert all(line.confidence > 0.8 for line in found)
    x0, y0, x1, y1 = found[0].box
    assert abs(x0 - 60) < 12 and 60 < y0 < y1 < 120 and 220 < x1 < 320


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_paper_that_lies_on_its_side_or_head(turn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`turn`: degrees counter-clockwise by which the paper lies; turned back clockwise it is read, otherwise not."""
    size = (400, 620) if turn % 180 else (620, 400)
    upright = [
        RecognizedLine("The rent", 0.9, (60.0, 40.0, 140.0, 60.0)),
        RecognizedLine("is 1,150", 0.9, (60.0, 80.0, 140.0, 100.0)),
    ]
    images: list[Image] = []

    def look(image: Image, _: object) -> list[RecognizedLine]:
        images.append(image)
        straight = len(images) > 1 and image.info["turned"] == 360 - turn
        return upright if straight else [RecognizedLine("ǝɥ┴", 0.4, (60.0, 40.0, 140.0, 60.0))]

    class Paper(Image):
        def rotate(self, angle: float, **_: object) -> Image:
            turned = new("L", size[::-1] if angle % 180 else size)
            turned.info["turned"] = angle
            return turned

    paper = Paper()
    paper._size = size
    monkeypatch.setattr(recognition, "_lines", look)
    monkeypatch.setattr(recognition, "_upside_down", lambda *_: False)
    first, second = lines_of_image(paper)
    assert (first.text, first.turn) == ("The rent", 360 - turn)
    frame = Frame(*size, 0, 0, *size, 0)
    words = [one for line in (first, second) for one in words_of_line(line, 1.0, frame)]
    assert [one.text for one in sorted(words, key=lambda one: (one.y0, one.x0))] == ["The", "rent", "is", "1,150"]
    left, top, _, _ = words[0].box
    assert (left, top) == pytest.approx({180: (530, 340), 90: (40, 530), 270: (340, 60)}[turn], abs=31)


@needs_rapidocr
def test_a_photograph_upside_down() -> None:
    image = photographed("The rent is 1,150 euros", size=(420, 200)).rotate(180)
    (line,) = lines_of_image(image)
    assert line.text == "The rent is 1,150 euros" and line.turn == 180 and line.box[0] < 240 < 340 < line.box[2]
