"""OLE compound files: old office formats and what wraps encrypted new ones. Tells which it is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable, brief

if TYPE_CHECKING:
    from olefile import OleFileIO

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OLD = {
    "WordDocument": ("an old Word file (.doc)", "docx"),
    "Workbook": ("an old Excel file (.xls)", "xlsx"),
    "Book": ("an old Excel file (.xls)", "xlsx"),
    "PowerPoint Document": ("an old PowerPoint file (.ppt)", "pptx"),
    "VisioDocument": ("a Visio file (.vsd)", "pdf"),
}
MESSAGE = "__properties_version1.0"
BEGINNINGS = {b"%PDF": "pdf", b"PK\x03\x04": "zip archive", b"{\\rtf": "rtf", b"\x89PNG": "picture", b"\xff\xd8\xff": "picture"}


def opened(data: bytes) -> OleFileIO:
    """Raises Unreadable for a damaged one."""
    import olefile

    try:
        return olefile.OleFileIO(io.BytesIO(data))
    except Exception as why:  # olefile lets all kinds of errors out of damaged files
        raise Unreadable(f"is a damaged OLE file, as old office programs wrote them ({brief(why)}); save it anew") from None


def is_message(data: bytes) -> bool:
    """Whether it is an Outlook message."""
    if not data.startswith(MAGIC):
        return False
    try:
        with opened(data) as file:
            return bool(file.exists(MESSAGE))
    except Unreadable:
        return False


def refuse(data: bytes, kind: str) -> None:
    """Raises Unreadable, with what it is, for data that is not what a format named `kind` begins with."""
    if data.startswith(MAGIC):
        with opened(data) as file:
            names = {"/".join(path) for path in file.listdir()}
        if "EncryptedPackage" in names:
            raise Unreadable("is encrypted; save it without a password first")
        for name, (what, better) in OLD.items():
            if name in names:
                raise Unreadable(f"is {what}; save it as {better}")
        what = "an Outlook message; rename it to .msg" if MESSAGE in names else "an OLE file of no kind that mmgen reads"
        raise Unreadable(f"is {what}" if MESSAGE in names else f"is {what}; save it as {kind}")
    for beginning, what in BEGINNINGS.items():
        if data.startswith(beginning) and not (what == "zip archive" and kind != "rtf"):
            raise Unreadable(f"is no {kind} but a {what} by its content; rename it")
