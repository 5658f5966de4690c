"""Images of pages: bounded in size and time, with places marked."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.pdf.document import Frame
from mmgen.ingest.pdf.words import Box

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument, PdfPage

MOST_PIXELS = 4_500_000
LONGEST_SIDE = 6_000  # pixels
SECONDS = 20.0
MOST_OBJECTS = 20_000  # of a page that are looked at
COVERED = 0.5  # share of a page that an image covers which stands for the page
MARKER = (255, 226, 64)
EDGE = (214, 120, 0)


def drawn(document: PdfDocument, page: PdfPage, scale: float, seconds: float = SECONDS) -> Image:
    """The page in RGB with its forms, at `scale` pixels a point or fewer: MOST_PIXELS at most.

    The lock of `document` is held by the caller. Raises Unreadable where drawing takes longer than `seconds`.
    """
    import pypdfium2.raw as raw
    from PIL import Image

    scale = fitting(page.get_width(), page.get_height(), scale)
    width, height = max(1, math.ceil(page.get_width() * scale)), max(1, math.ceil(page.get_height() * scale))
    buffer = (ctypes.c_ubyte * (4 * width * height))()
    bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGRx, buffer, 4 * width)
    until = time.monotonic() + seconds
    pause = raw.IFSDK_PAUSE(version=1, NeedToPauseNow=_pause_type()(lambda _: time.monotonic() > until))
    area = (bitmap, page.raw, 0, 0, width, height, 0, raw.FPDF_ANNOT)
    try:
        raw.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
        state = raw.FPDF_RenderPageBitmap_Start(*area, ctypes.byref(pause))
        raw.FPDF_RenderPage_Close(page.raw)
        if state == raw.FPDF_RENDER_TOBECONTINUED:
            raise Unreadable(f"has a page that takes more than {seconds:.0f} s to draw")
        if document.formenv is not None:
            raw.FPDF_SetFormFieldHighlightAlpha(document.formenv.raw, 0)
            raw.FPDF_FFLDraw(document.formenv.raw, *area)
        return Image.frombytes("RGB", (width, height), bytes(buffer), "raw", "BGRX")
    finally:
        raw.FPDFBitmap_Destroy(bitmap)


def fitting(width: float, height: float, scale: float) -> float:
    """`scale`, or the largest that keeps an image of so many points within MOST_PIXELS and LONGEST_SIDE."""
    return min(scale, math.sqrt(MOST_PIXELS / max(width * height, 1.0)), LONGEST_SIDE / max(width, height, 1.0))


def marked(image: Image, boxes: Sequence[Box], width: float) -> Image:
    """The image of a page of that width in points, with the boxes as with a marker pen, and an edge around each."""
    from PIL import Image, ImageChops, ImageDraw

    scale = image.width / max(width, 1.0)
    marker = Image.new("RGB", image.size, "white")
    pen = ImageDraw.Draw(marker)
    places = [tuple(scale * value for value in (x0 - 1.5, y0 - 1, x1 + 1.5, y1 + 1)) for x0, y0, x1, y1 in boxes]
    for place in places:
        pen.rectangle(place, fill=MARKER)
    out = ImageChops.multiply(image, marker)
    edge = ImageDraw.Draw(out)
    for place in places:
        edge.rectangle(place, outline=EDGE, width=max(1, round(scale)))
    return out


def ink(document: PdfDocument, page: PdfPage, frame: Frame) -> float:
    """The share of the page that is drawn on, by a small image of it."""
    image = drawn(document, page, 300 / max(frame.width, frame.height, 1.0)).convert("L")
    shades = image.histogram()
    paper = shades.index(max(shades))
    return sum(count for shade, count in enumerate(shades) if abs(shade - paper) > 40) / sum(shades)


def is_photograph(page: PdfPage, frame: Frame) -> bool:
    """Whether an image covers most of the page."""
    import pypdfium2.raw as raw

    edges = [ctypes.c_float() for _ in range(4)]
    for index in range(min(raw.FPDFPage_CountObjects(page.raw), MOST_OBJECTS)):
        item = raw.FPDFPage_GetObject(page.raw, index)
        if not _holds_image(item) or not raw.FPDFPageObj_GetBounds(item, *map(ctypes.byref, edges)):
            continue
        x0, y0, x1, y1 = frame.shown(*(edge.value for edge in edges))
        width, height = min(x1, frame.width) - max(x0, 0.0), min(y1, frame.height) - max(y0, 0.0)
        if width > 0 < height and width * height > COVERED * frame.width * frame.height:
            return True
    return False


def _holds_image(item: Any) -> bool:
    """Whether it is an image, or a group of objects with one."""
    import pypdfium2.raw as raw

    kind = raw.FPDFPageObj_GetType(item)
    if kind != raw.FPDF_PAGEOBJ_FORM:
        return bool(kind == raw.FPDF_PAGEOBJ_IMAGE)
    inside = range(min(raw.FPDFFormObj_CountObjects(item), 100))
    return any(raw.FPDFPageObj_GetType(raw.FPDFFormObj_GetObject(item, n)) == raw.FPDF_PAGEOBJ_IMAGE for n in inside)


def _pause_type() -> type:
    import pypdfium2.raw as raw

    return dict(raw.IFSDK_PAUSE._fields_)["NeedToPauseNow"]  # type: ignore[no-any-return]
