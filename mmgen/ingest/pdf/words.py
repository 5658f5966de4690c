"""The words of a page with their places, from pdfium's characters; knows no order of reading."""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmgen.ingest.pdf.document import Frame

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in points from the page's top left corner."""

MOST_CHARACTERS = 200_000  # of a page
GAP = 0.3  # of the font's height: a wider gap ends a word
LEADER = "..."
HYPHEN, SOFT_HYPHEN = "-", "\u00ad"
FORMS = re.compile("[\ufb00-\ufb06\ufb13-\ufb17\ufb1d-\ufdff\ufe70-\ufefc]+")
"""Ligatures and presentation forms, which stand for other letters."""
RIGHT_TO_LEFT = re.compile("^[^0-9A-Za-z]*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc][^0-9A-Za-z]*$")
LETTERLESS = re.compile(r"[\ue000-\uf8ff\ufffd\U000f0000-\U0010fffd]|[\0-\x08\x0e-\x1f]")


@dataclass(slots=True)
class Word:
    """What stands between two spaces. The place is where it is read, in a frame in which its line runs to the right."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    box: Box  # where it is drawn; differs from the place in turned text, and for values of forms
    angle: int = 0  # degrees clockwise
    bold: bool = False
    confidence: float = math.nan  # of the recogniser, 0 to 1; nan: from the file's text

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def middle(self) -> float:
        return (self.y0 + self.y1) / 2


@dataclass
class PageWords:
    """A page before its order is known."""

    number: int  # from 1
    frame: Frame
    words: list[Word] = field(default_factory=list)
    rules: list[Box] = field(default_factory=list)  # straight lines, upright or level
    picture: bool = False  # it has no text of use, and something is drawn on it
    recognized: bool = False
    told: list[str] = field(default_factory=list)  # what of it was not read


def words_of(page: PdfPage, frame: Frame, told: list[str]) -> list[Word]:
    """The words of the page's own text, in the file's order. Those outside the page are left out; `told` says so."""
    text = page.get_textpage()
    try:
        count = text.count_chars()
        if count > MOST_CHARACTERS:
            told.append(f"{count - MOST_CHARACTERS:,} of {count:,} characters")
        found = list(_words(_characters(text, min(count, MOST_CHARACTERS), frame), text))
    finally:
        text.close()
    inside = [word for word in found if _on_page(word.box, frame)]
    if len(inside) < len(found):
        told.append(f"{len(found) - len(inside)} words beyond its edges")
    return placed(_without_leaders(_once(inside)), frame)


def _characters(text: Any, count: int, frame: Frame) -> Iterator[tuple[int, str, Box, int]]:
    """Index, character, box and angle; a character that pdfium made up to part words comes as a space."""
    import pypdfium2.raw as raw

    rect, handle = raw.FS_RECTF(), text.raw
    place = ctypes.byref(rect)
    for index in range(count):
        code = raw.FPDFText_GetUnicode(handle, index)
        if code in (9, 10, 13, 32, 160) or raw.FPDFText_IsGenerated(handle, index) == 1:
            yield index, " ", (0, 0, 0, 0), 0
            continue
        character = HYPHEN if code in (2, 0xFFFE) and raw.FPDFText_IsHyphen(handle, index) == 1 else chr(code)
        if not raw.FPDFText_GetLooseCharBox(handle, index, place):
            continue
        box = frame.shown(rect.left, rect.bottom, rect.right, rect.top)
        yield index, character, box, frame.turned(raw.FPDFText_GetCharAngle(handle, index))


def _words(characters: Iterable[tuple[int, str, Box, int]], text: Any) -> Iterator[Word]:
    letters: list[str] = []
    first, angle, last = 0, 0, (0.0, 0.0, 0.0, 0.0)
    boxes: list[Box] = []

    def flush() -> Iterator[Word]:
        if letters:
            around = union(boxes)
            order: Sequence[int] = range(len(letters))
            if RIGHT_TO_LEFT.search("".join(letters)) and not angle:  # producers and pdfium do not agree on their order
                order = sorted(order, key=lambda n: -boxes[n][0] - boxes[n][2])
            yield Word(plain("".join(letters[n] for n in order)), *around, around, angle, _is_bold(text, first))
            letters.clear()
            boxes.clear()

    for index, character, box, turned in characters:
        if character == " ":
            yield from flush()
            continue
        if letters and (turned != angle or _apart(last, box, angle)):
            yield from flush()
        if not letters:
            first, angle = index, turned
        letters.append(character)
        boxes.append(box)
        last = box
    yield from flush()


def _apart(before: Box, after: Box, angle: int) -> bool:
    """Whether two characters that follow one another in the file stand too far apart for one word."""
    a, b = _along(before, angle), _along(after, angle)
    height = max(a[3] - a[1], b[3] - b[1], 1.0)
    if min(a[3], b[3]) - max(a[1], b[1]) < 0.3 * min(a[3] - a[1], b[3] - b[1]):
        return True
    return max(b[0] - a[2], a[0] - b[2]) > GAP * height  # right-to-left text comes from the right


def _along(box: Box, angle: int) -> Box:
    """The box with axes along and across its line, for right angles."""
    x0, y0, x1, y1 = box
    return {90: (y0, -x1, y1, -x0), 180: (-x1, -y1, -x0, -y0), 270: (-y1, x0, -y0, x1)}.get(angle, box)


def placed(words: Iterable[Word], frame: Frame) -> list[Word]:
    """Turned words with places in a frame in which they run to the right; others as they are."""
    out = []
    for word in words:
        if word.angle in (90, 180, 270):
            x0, y0, x1, y1 = _along(word.box, word.angle)
            right, down = {90: (0.0, frame.width), 180: (frame.width, frame.height), 270: (frame.height, 0.0)}[word.angle]
            word = replace(word, x0=x0 + right, y0=y0 + down, x1=x1 + right, y1=y1 + down)
        elif word.angle:
            word = _slanted(word)
        out.append(word)
    return out


def _slanted(word: Word) -> Word:
    """By the middle of its box and the size that a word of its length has in a box turned by that angle."""
    x0, y0, x1, y1 = word.box
    turn = math.radians(word.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    height = max(4.0, min(x1 - x0, y1 - y0) / max(abs(cos) + abs(sin), 1.0))
    width = max(height, math.hypot(x1 - x0, y1 - y0) - height)
    along, across = x * cos + y * sin, y * cos - x * sin
    return replace(word, x0=along - width / 2, x1=along + width / 2, y0=across - height / 2, y1=across + height / 2)


def _once(words: Sequence[Word]) -> list[Word]:
    """Without what is drawn twice at one place, as producers do for bold type and shadows."""
    seen: set[tuple[str, int, int]] = set()
    out = []
    for word in words:
        x, y = int(word.box[0] // 2), int(word.box[1] // 2)
        if not any((word.text, x + dx, y + dy) in seen for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
            out.append(word)
        seen.add((word.text, x, y))
    return out


def _without_leaders(words: Sequence[Word]) -> list[Word]:
    """Every row of single dots, as tables of contents have them, as one word."""
    out: list[Word] = []
    for word in words:
        if out and word.text == "." and out[-1].text in (".", LEADER) and word.angle == out[-1].angle:
            around = union([out[-1].box, word.box])
            out[-1] = Word(LEADER, *around, around, word.angle)
        else:
            out.append(word)
    return out


def plain(text: str) -> str:
    """Ligatures and presentation forms as the letters that they stand for; no character that cannot be stored."""
    text = FORMS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def useless(words: Sequence[Word]) -> bool:
    """Whether the text is not what is seen: characters without a meaning, or words that no language has."""
    text = "".join(word.text for word in words)
    if 10 * len(LETTERLESS.findall(text)) > 3 * len(text):
        return True
    latin = [word.text for word in words if re.fullmatch(r"[A-Za-z0-9]{4,}", word.text) and not word.text.isdigit()]
    odd = sum(not re.search("[aeiouyAEIOUY]", one) or bool(re.search("[A-Za-z][0-9]+[A-Za-z]", one)) for one in latin)
    return len(latin) >= 40 and 5 * odd > 4 * len(latin)  # a list of part numbers has words beside them


def union(boxes: Iterable[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _on_page(box: Box, frame: Frame) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return -1 <= x <= frame.width + 1 and -1 <= y <= frame.height + 1


def _is_bold(text: Any, index: int) -> bool:
    import pypdfium2.raw as raw

    if raw.FPDFText_GetFontWeight(text.raw, index) >= 600:
        return True
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    size = raw.FPDFText_GetFontInfo(text.raw, index, name, len(name), ctypes.byref(flags))
    return 0 < size <= len(name) and re.search(rb"bold|black|heavy|semibold|demi", name.value, re.I) is not None
