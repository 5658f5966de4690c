"""Filled form fields and text boxes of a page as words: each value stands after its label, with the place where it is drawn."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmgen.ingest.charset import clean
from mmgen.ingest.pdf.document import Frame, wide_string
from mmgen.ingest.pdf.words import Box, Word

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

CHECKED, UNCHECKED = "[x]", "[ ]"
PASSWORD = 1 << 13  # flag of a text field
MOST = 5_000  # annotations of a page


@dataclass(frozen=True)
class Field:
    """A field as it is filled, or a text box."""

    value: str
    box: Box
    name: str = ""  # as the form describes it: its tooltip, else its name; empty for a text box
    button: bool = False


def fields_of(document: PdfDocument, page: PdfPage, frame: Frame, told: list[str]) -> list[Field]:
    """The page's fields that hold a value, check boxes whether they are checked or not, and text boxes."""
    import pypdfium2.raw as raw

    count = raw.FPDFPage_GetAnnotCount(page.raw)
    if count > MOST:
        told.append(f"{count - MOST:,} of {count:,} form fields and notes")
    out = []
    for index in range(min(count, MOST)):
        note = raw.FPDFPage_GetAnnot(page.raw, index)
        if not note:
            continue
        try:
            kind = raw.FPDFAnnot_GetSubtype(note)
            if raw.FPDFAnnot_GetFlags(note) & (raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW):
                continue
            rect = raw.FS_RECTF()
            raw.FPDFAnnot_GetRect(note, ctypes.byref(rect))
            box = frame.shown(rect.left, rect.bottom, rect.right, rect.top)
            if kind == raw.FPDF_ANNOT_FREETEXT:
                found: Field | None = Field(wide_string(raw.FPDFAnnot_GetStringValue, note, b"Contents"), box)
            elif kind == raw.FPDF_ANNOT_WIDGET and document.formenv is not None:
                found = _widget(document.formenv.raw, note, box)
            else:
                continue
        finally:
            raw.FPDFPage_CloseAnnot(note)
        if found is not None and found.value.strip():
            out.append(found)
    return out


def _widget(form: object, note: object, box: Box) -> Field | None:
    import pypdfium2.raw as raw

    kind = raw.FPDFAnnot_GetFormFieldType(form, note)
    name = wide_string(raw.FPDFAnnot_GetFormFieldAlternateName, form, note)
    name = clean(name or wide_string(raw.FPDFAnnot_GetFormFieldName, form, note)).strip()
    if kind in (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON):
        return Field(CHECKED if raw.FPDFAnnot_IsChecked(form, note) else UNCHECKED, box, name, button=True)
    if kind not in (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX):
        return None
    if kind == raw.FPDF_FORMFIELD_TEXTFIELD and raw.FPDFAnnot_GetFormFieldFlags(form, note) & PASSWORD:
        return None
    return Field(clean(wide_string(raw.FPDFAnnot_GetFormFieldValue, form, note)).strip(), box, name)


def with_fields(words: Sequence[Word], fields: Sequence[Field]) -> list[Word]:
    """The words with every value put right after its label: what stands before it in its line, or beside a check box.

    A value without a label gets its field's name as one.
    """
    out = list(words)
    upright = [word for word in words if not word.angle]
    for one in fields:
        x0, y0, x1, y1 = one.box
        line = [word for word in upright if min(y1, word.y1) - max(y0, word.y0) > 0.5 * min(y1 - y0, word.height)]
        before = max((word for word in line if word.x1 <= x0 + 2), key=lambda word: word.x1, default=None)
        after = min((word for word in line if word.x0 >= x1 - 2), key=lambda word: word.x0, default=None)
        height = min(12.0, y1 - y0)
        if one.button and after is not None and after.x0 - x1 < 2 * max(height, after.height):
            place = (max(x0, after.x0 - 2 * after.height), after.y0, after.x0 - 0.25 * after.height, after.y1)
            out.append(Word(one.value, *place, one.box))
            continue
        if before is not None and one.name:
            left, y0, height = before.x1 + x0 / 1000, before.y0, before.height  # two fields after one label keep their order
        else:
            left, y0 = x0, y1 - height if y1 - y0 < 2 * height else y0
        label = f"{one.name}:" if one.name and before is None and not one.button else ""
        out += _row(f"{label} {one.value}", left, y0, height, one.box)
    return out


def _row(text: str, left: float, top: float, height: float, box: Box) -> list[Word]:
    """The text's words from there on, close together; each is drawn by the whole field."""
    out = []
    if text.strip() in (CHECKED, UNCHECKED):
        text = text.strip().replace(" ", "\u2007")
    for word in re.findall(r"[^ \t\n\r]+", text):
        right = left + 0.2 * height
        left = right + 0.01 * len(word)
        out.append(Word(word.replace("\u2007", " "), right, top, left, top + height, box))
    return out
