"""Opens PDF files with pdfium, one call at a time: the library is not thread-safe. Errors become Unreadable."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import Unreadable, clean

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

PDFIUM = threading.RLock()
"""Held for every call of the library; for a page at a time, so that other documents get their turn."""

XFA = 2  # FORMTYPE_XFA_FULL: the pages hold a notice, and the form is XML that only Adobe's programs show


@contextmanager
def opened(data: bytes, forms: bool = True) -> Iterator[PdfDocument]:
    """The document. `forms`: with what its fields need to be read and drawn.

    Raises:
        Unreadable: a password is needed, or it is no PDF that can be repaired.
    """
    import pypdfium2
    import pypdfium2.raw as raw

    try:
        with PDFIUM:
            document = pypdfium2.PdfDocument(data)
            if forms and document.get_formtype():
                document.init_forms()
    except pypdfium2.PdfiumError as why:
        if why.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
            raise Unreadable("is encrypted; save it without a password first") from None
        raise Unreadable(f"is a damaged pdf ({_reason(data)}); save it anew") from None
    try:
        yield document
    finally:
        with PDFIUM:
            document.close()


@contextmanager
def page_of(document: PdfDocument, number: int) -> Iterator[PdfPage]:
    """Page `number`, from 1, with the lock held. Raises Unreadable where it is damaged."""
    import pypdfium2

    with PDFIUM:
        try:
            page = document[number - 1]
        except (pypdfium2.PdfiumError, IndexError):
            raise Unreadable(f"page {number} is damaged") from None
        try:
            yield page
        finally:
            page.close()


def title(document: PdfDocument) -> str:
    """Empty where the producer wrote none or a placeholder."""
    with PDFIUM:
        found = clean(document.get_metadata_value("Title") or "").strip()
    return "" if found.lower() in ("", "untitled", "(anonymous)") else found


def cut_short(data: bytes) -> bool:
    """Whether the mark that ends a PDF file is missing, so that pages may be missing too."""
    return b"%%EOF" not in data[-2048:]


@dataclass(frozen=True)
class Frame:
    """A page as it is shown: its size and where the file's coordinates lie on it."""

    width: float  # points
    height: float
    left: float  # of the file's coordinates, whose y goes up
    bottom: float
    right: float
    top: float
    rotation: int  # degrees clockwise

    @classmethod
    def of(cls, page: PdfPage) -> Frame:
        left, bottom, right, top = page.get_bbox()
        width, height = page.get_size()
        return cls(width, height, left, bottom, right, top, page.get_rotation())

    def shown(self, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
        """A rectangle of the file as left, top, right, bottom in points from the top left corner of the page."""
        if self.rotation == 90:
            return bottom - self.bottom, left - self.left, top - self.bottom, right - self.left
        if self.rotation == 180:
            return self.right - right, bottom - self.bottom, self.right - left, top - self.bottom
        if self.rotation == 270:
            return self.top - top, self.right - right, self.top - bottom, self.right - left
        return left - self.left, self.top - top, right - self.left, self.top - bottom

    def turned(self, radians: float) -> int:
        """Degrees clockwise by which text of that angle, as pdfium tells it, is turned; near a right angle exactly that."""
        degrees = round(self.rotation + math.degrees(radians)) % 360
        nearest = round(degrees / 90) * 90
        return nearest % 360 if abs(degrees - nearest) <= 3 else degrees


def wide_string(call: Any, *arguments: Any) -> str:
    """What a function of pdfium writes as UTF-16 into a buffer of a size that it tells."""
    size = call(*arguments, None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    call(*arguments, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return buffer.raw[:size].decode("utf-16-le", "ignore").rstrip("\0")


def _reason(data: bytes) -> str:
    if not data[:1024].lstrip().startswith(b"%PDF"):
        return "it does not begin as one"
    return "it is cut short" if cut_short(data) else "its structure cannot be repaired"
