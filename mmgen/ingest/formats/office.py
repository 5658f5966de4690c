"""Which module reads which suffix. Parser libraries are imported on use."""

from __future__ import annotations

import io
import zipfile

from mmgen.ingest.formats import compound, epub, open_document, presentation, rtf, spreadsheet
from mmgen.ingest.formats.mail import outlook
from mmgen.ingest.formats.mail.eml import eml
from mmgen.ingest.formats.mail.mbox import is_mailbox, mbox
from mmgen.ingest.formats.package import DAMAGE, content_kind
from mmgen.ingest.formats.word.document import docx
from mmgen.interfaces import Loader

LOADERS: dict[str, tuple[str, Loader]] = {
    **dict.fromkeys(("docx", "docm", "dotx", "dotm"), ("docx", docx)),
    **dict.fromkeys(("pptx", "pptm", "ppsx", "ppsm", "potx"), ("pptx", presentation.pptx)),
    **dict.fromkeys(("xlsx", "xlsm", "xltx", "xltm"), ("xlsx", spreadsheet.xlsx)),
    **dict.fromkeys(("odt", "ott"), ("odt", open_document.odt)),
    **dict.fromkeys(("ods", "ots"), ("ods", open_document.ods)),
    **dict.fromkeys(("odp", "otp"), ("odp", open_document.odp)),
    "epub": ("epub", epub.epub),
    "rtf": ("rtf", rtf.rtf),
    "eml": ("mail", eml),
    "msg": ("mail", outlook.msg),
    **dict.fromkeys(("mbox", "mbx"), ("mail", mbox)),
}
"""Suffix -> the document's kind, and what reads it."""
COMMENTED = (docx, presentation.pptx, spreadsheet.xlsx, open_document.odt, open_document.ods, open_document.odp)
"""Those that can read comments too: `comments=True`."""


def sniffed(data: bytes) -> str:
    """The suffix of an office file or a mailbox by its content; empty for another file.

    Old ones are given to a reader that says what they are.
    """
    if data.lstrip()[:5] == b"{\\rtf":
        return "rtf"
    if data.startswith(compound.MAGIC):
        return "msg" if compound.is_message(data) else "docx"
    if is_mailbox(data):
        return "mbox"
    if not data.startswith(b"PK\x03\x04"):
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return content_kind(data, set(archive.namelist()))
    except DAMAGE:
        return ""
