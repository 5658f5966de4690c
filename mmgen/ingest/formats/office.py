"""Which module reads which suffix. Parser libraries are imported on use."""

from __future__ import annotations

import io
import zipfile

from mmgen.ingest.formats import word
from mmgen.ingest.formats.compound import MAGIC
from mmgen.ingest.formats.package import DAMAGE, content_kind
from mmgen.interfaces import Loader

LOADERS: dict[str, tuple[str, Loader]] = {
    **dict.fromkeys(("docx", "docm", "dotx", "dotm"), ("docx", word.docx)),
}
"""Suffix -> the document's kind, and what reads it."""


def sniffed(data: bytes) -> str:
    """The suffix of an office file by its content; empty for another file."""
    if data.startswith(b"{\\rtf"):
        return "rtf"
    if data.startswith(MAGIC):
        return "docx"  # which says what it is
    if not data.startswith(b"PK\x03\x04"):
        return ""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return content_kind(data, set(archive.namelist()))
    except DAMAGE:
        return ""
