"""Optical character recognition of pages that are pictures, and of image files: by rapidocr, where it is installed.

The recogniser's models (PP-OCRv6, Apache-2.0) are part of its wheel; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import brief
from mmgen.ingest.pdf.document import Frame, page_of
from mmgen.ingest.pdf.render import drawn, fitting
from mmgen.ingest.pdf.words import Box, PageWords, Word, placed

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument

EXTRA = "pip install 'mmgen[ocr]'"
SCALE = 200 / 72  # pixels a point: 200 dpi
COARSEST = 0.3  # pixels a point: below that no letter can be told
READERS = ("mmgen.ingest.pdf.extract", "mmgen.ingest.image_text")  # modules of extractors that may recognise text
MEMORY = 2**30  # bytes that recognising takes beside what a document may
UNSURE = 0.5  # confidence below which a line is left out
TURN = 0.75  # mean confidence below which the page is tried in other directions
TRIED = 2  # lines that are read upside down too
NARROW, WIDE = frozenset(" .,:;'!|()[]iljtfrI"), frozenset("mwMW@%—")
_ENGINE = threading.Lock()
Alive = Callable[[], None]
"""Called after every line: a page may take long."""


@dataclass(frozen=True)
class RecognizedLine:
    """A line of an image; `box` in pixels."""

    text: str
    confidence: float
    box: Box
    slope: float = 0.0  # pixels down for a pixel to the right
    turn: int = 0  # degrees clockwise by which it is turned: 0, 90, 180 or 270


@dataclass
class Recognition:
    """How pages that are pictures are read, and what hears about it."""

    engine: Callable[[Image, Alive], list[RecognizedLine]] | None  # None: they are not read
    off: bool = False  # by the caller's wish
    folder: Path | None = None  # keeps pages that are done, until the document is stored

    @classmethod
    def installed(cls, **options: Any) -> Recognition:
        """With rapidocr; without it, pages are told as pictures."""
        return cls(lines_of_image if is_installed() else None, **options)

    def ready(self) -> bool:
        return self.engine is not None and not self.off

    def remedy(self, pages: int) -> str:
        """What to do about so many pages that were not read."""
        if self.off and is_installed():
            return f" and {'was' if pages == 1 else 'were'} not to be recognised"
        return f"; {EXTRA} reads {'it' if pages == 1 else 'them'}"

    def kept(self, data: bytes) -> KeptPages | None:
        if self.folder is None or not self.ready():
            return None
        return KeptPages(self.folder / f"{hashlib.sha256(data).hexdigest()}.jsonl")


@dataclass
class KeptPages:
    """Recognised pages of one file, a line of JSON each: an `add` that was stopped goes on behind them."""

    path: Path
    _pages: dict[int, list[list[Any]]] | None = field(default=None, repr=False)

    def get(self, page: int) -> list[RecognizedLine] | None:
        if self._pages is None:
            self._pages = dict(self._read())
        found = self._pages.pop(page, None)
        return None if found is None else [RecognizedLine(text, sure, tuple(box), *more) for text, sure, box, *more in found]

    def put(self, page: int, lines: Sequence[RecognizedLine]) -> None:
        rows = [[line.text, line.confidence, line.box, line.slope, line.turn] for line in lines]
        with suppress(OSError):  # a full disk costs the resuming alone
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([page, rows]) + "\n")

    def _read(self) -> Iterator[tuple[int, list[list[Any]]]]:
        with suppress(OSError):
            for line in self.path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):  # a line that was being written
                    page, rows = json.loads(line)
                    yield page, rows


def forget(folder: Path, content_hash: str) -> None:
    """Removes what was kept of a file that is stored now."""
    (folder / f"{content_hash}.jsonl").unlink(missing_ok=True)


def is_installed() -> bool:
    return importlib.util.find_spec("rapidocr") is not None and importlib.util.find_spec("onnxruntime") is not None


def recognized_words(
    document: PdfDocument, page: PageWords, recognition: Recognition, kept: KeptPages | None, alive: Alive = lambda: None
) -> tuple[list[Word], list[str]]:
    """The words of a page's image that its own text lacks, and what of it was not read."""
    scale = fitting(page.frame.width, page.frame.height, SCALE)
    if scale < COARSEST:
        return [], [f"a page of {page.frame.width / 2835:.1f} x {page.frame.height / 2835:.1f} m, too large to be recognised"]
    found = kept.get(page.number) if kept else None
    if found is None:
        with page_of(document, page.number) as opened:
            image = drawn(document, opened, scale)
        assert recognition.engine is not None
        try:
            found = recognition.engine(image, alive)
        except Exception as why:  # onnxruntime's have no base class; memory that is not there is among them
            return [], [f"a picture that the recogniser failed at ({brief(why)})"]
        if kept:
            kept.put(page.number, found)
    sure = [line for line in found if line.confidence >= UNSURE]
    told = [f"{len(found) - len(sure)} unclear lines"] if len(sure) < len(found) else []
    words = [word for line in sure for word in words_of_line(line, 1 / scale, page.frame)]
    there = [word.box for word in page.words]
    return [word for word in words if not any(_inside(word.box, box) for box in there)], told


def words_of_line(line: RecognizedLine, scale: float, frame: Frame) -> list[Word]:
    """The line's words, each with its share of the box by its letters; `scale`: points a pixel."""
    x0, y0, x1, y1 = (value * scale for value in line.box)
    turn = line.turn or (90 if len(line.text) > 2 and y1 - y0 > 1.5 * (x1 - x0) else 0)
    drop = line.slope * (x1 - x0) if not turn else 0.0  # from the line's left end to its right one
    widths = [0.0, *accumulate(_width(letter) for letter in line.text)]
    out, at = [], 0
    for text in line.text.split():
        at = line.text.index(text, at)
        begin, end = widths[at] / widths[-1], widths[at + len(text)] / widths[-1]
        at += len(text)
        if turn in (180, 270):
            begin, end = 1 - end, 1 - begin
        if turn in (90, 270):
            box = (x0, y0 + begin * (y1 - y0), x1, y0 + end * (y1 - y0))
        else:
            top = y0 + max(0.0, -drop) + drop * (begin + end) / 2
            box = (x0 + begin * (x1 - x0), top, x0 + end * (x1 - x0), top + max(1.0, y1 - y0 - abs(drop)))
        out.append(Word(text, *box, box, turn, confidence=line.confidence))
    return placed(out, frame)


def _width(letter: str) -> float:
    """Of a letter in a common typeface, against the usual one."""
    return 0.5 if letter in NARROW else 1.5 if letter in WIDE else 1.25 if letter.isupper() else 1.0


def lines_of_image(image: Image, alive: Alive = lambda: None) -> list[RecognizedLine]:
    """The lines of text in an image; one that lies on its side or upside down is turned first.

    One image at a time: the recogniser takes all the cores that it may.
    """
    with _ENGINE:
        best = _lines(image, alive)
        if best and _mean(best) >= TURN and not _sideways(best) and not _upside_down(image, best):
            return best
        for degrees in (180, 90, 270):
            other = _lines(image.rotate(degrees, expand=True), alive)
            straighter = _sideways(best) and not _sideways(other) and _mean(other) > _mean(best)
            if straighter or _weight(other) > 1.1 * _weight(best):
                best = [_turned_back(line, degrees, image.size) for line in other]
    return best


def _lines(image: Image, alive: Alive) -> list[RecognizedLine]:
    """Found in the image at once, then recognised one by one."""
    import numpy as np

    image = image.convert("RGB")
    quads = _engine()(np.asarray(image)[:, :, ::-1], use_det=True, use_cls=False, use_rec=False).boxes
    out = []
    for quad in [] if quads is None else quads.tolist():
        alive()
        text, sure = _read(_straightened(image, quad))
        if not text:
            continue
        xs, ys = [x for x, _ in quad], [y for _, y in quad]
        slope = (ys[1] - ys[0]) / max(1.0, xs[1] - xs[0])
        box = (round(min(xs), 1), round(min(ys), 1), round(max(xs), 1), round(max(ys), 1))
        out.append(RecognizedLine(text, sure, box, round(slope, 4)))
    return out


def _read(line: Image) -> tuple[str, float]:
    """The text of an image of one level line, and the confidence. The engine keeps what it was told: each call says all."""
    import numpy as np

    found = _engine()(np.asarray(line.convert("RGB"))[:, :, ::-1], use_det=False, use_cls=False, use_rec=True)
    return ((found.txts or ("",))[0].strip(), round(float(found.scores[0]), 3)) if found.txts else ("", 0.0)


def _upside_down(image: Image, lines: Sequence[RecognizedLine]) -> bool:
    """Whether the longest lines are read better turned by 180 degrees."""
    longest = sorted(lines, key=lambda line: -len(line.text))[:TRIED]
    turned = [_read(image.crop(tuple(map(round, line.box))).rotate(180)) for line in longest]  # type: ignore[arg-type]
    return sum(sure * len(text) for text, sure in turned) > 1.1 * _weight(longest)


def _straightened(image: Image, quad: Sequence[Sequence[float]]) -> Image:
    """What stands within four corners (from the upper left one clockwise) as a level line; a tall one turned to the left."""
    from PIL.Image import Resampling, Transform

    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad
    width = round(max(math.hypot(bx - ax, by - ay), math.hypot(cx - dx, cy - dy), 1))
    height = round(max(math.hypot(dx - ax, dy - ay), math.hypot(cx - bx, cy - by), 1))
    corners = (ax, ay, dx, dy, cx, cy, bx, by)  # PIL: counter-clockwise
    line = image.transform((width, height), Transform.QUAD, corners, Resampling.BILINEAR)
    return line.rotate(90, expand=True) if height > 1.5 * width else line


def _mean(lines: Sequence[RecognizedLine]) -> float:
    return _weight(lines) / max(1, sum(len(line.text) for line in lines))


def _weight(lines: Sequence[RecognizedLine]) -> float:
    return sum(line.confidence * len(line.text) for line in lines if line.confidence >= UNSURE)


def _sideways(lines: Sequence[RecognizedLine]) -> bool:
    long = [line.box for line in lines if len(line.text) > 3]
    return 2 * sum(y1 - y0 > 1.5 * (x1 - x0) for x0, y0, x1, y1 in long) > len(long)


def _turned_back(line: RecognizedLine, degrees: int, size: tuple[int, int]) -> RecognizedLine:
    """From an image that was turned counter-clockwise to the one of that size."""
    width, height = size
    x0, y0, x1, y1 = line.box
    box = {90: (width - y1, x0, width - y0, x1), 180: (width - x1, height - y1, width - x0, height - y0),
           270: (y0, height - x1, y1, height - x0)}[degrees]  # fmt: skip
    return RecognizedLine(line.text, line.confidence, box, turn=degrees)


def _inside(word: Box, other: Box) -> bool:
    x, y = (word[0] + word[2]) / 2, (word[1] + word[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


@cache
def _engine() -> Any:
    """Loaded once. The paths of the models are given, so that rapidocr looks for none on the network."""
    import rapidocr

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    models = Path(rapidocr.__file__).parent / "models"
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.text_score": 0.0,
            "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
            "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
            "EngineConfig.onnxruntime.intra_op_num_threads": min(4, os.cpu_count() or 1),
        }
    )
