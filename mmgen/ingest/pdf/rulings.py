"""Straight lines drawn on a page, upright or level: the borders of tables."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from mmgen.ingest.pdf.document import Frame
from mmgen.ingest.pdf.words import Box

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

THIN = 2.5  # points
MOST_OBJECTS = 20_000  # a page with more is a drawing
MOST_RULES = 1_500


def rules_of(page: PdfPage, frame: Frame) -> list[Box]:
    """Lines, thin rectangles and the edges of outlined rectangles, as boxes; none of a page that is a drawing."""
    import pypdfium2.raw as raw

    count = raw.FPDFPage_CountObjects(page.raw)
    if count > MOST_OBJECTS:
        return []
    out: list[Box] = []
    for index in range(count):
        item = raw.FPDFPage_GetObject(page.raw, index)
        if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_PATH:
            continue
        edges = [ctypes.c_float() for _ in range(4)]
        if not raw.FPDFPageObj_GetBounds(item, *map(ctypes.byref, edges)):
            continue
        left, bottom, right, top = (edge.value for edge in edges)
        if min(right - left, top - bottom) <= THIN:
            out.append(frame.shown(left, bottom, right, top))
        elif _outlined(item):
            out += [frame.shown(*edge) for edge in _edges(item)]
        if len(out) > MOST_RULES:
            return []
    return out


def _outlined(item: Any) -> bool:
    import pypdfium2.raw as raw

    fill, stroke = ctypes.c_int(), ctypes.c_int()
    return bool(raw.FPDFPath_GetDrawMode(item, ctypes.byref(fill), ctypes.byref(stroke))) and bool(stroke.value)


def _edges(item: Any) -> list[Box]:
    """The straight pieces of a path in the page's coordinates: left, bottom, right, top."""
    import pypdfium2.raw as raw

    matrix = raw.FS_MATRIX()
    raw.FPDFPageObj_GetMatrix(item, ctypes.byref(matrix))
    out: list[Box] = []
    start = last = (0.0, 0.0)
    x, y = ctypes.c_float(), ctypes.c_float()
    for number in range(min(raw.FPDFPath_CountSegments(item), MOST_RULES)):
        segment = raw.FPDFPath_GetPathSegment(item, number)
        raw.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y))
        point = (matrix.a * x.value + matrix.c * y.value + matrix.e, matrix.b * x.value + matrix.d * y.value + matrix.f)
        if raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_MOVETO:
            start = point
        elif raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_LINETO:
            out += _straight(last, point)
        if raw.FPDFPathSegment_GetClose(segment):
            out += _straight(point, start)
        last = point
    return out


def _straight(a: tuple[float, float], b: tuple[float, float]) -> list[Box]:
    width, height = abs(a[0] - b[0]), abs(a[1] - b[1])
    if min(width, height) > 1 or max(width, height) < THIN:
        return []
    return [(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))]
