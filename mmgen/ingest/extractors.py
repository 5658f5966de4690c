"""Text extraction per format: `(path, bytes) -> (text, page offsets, metadata)`. Parser libraries are imported on use."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.ingest.charset import Unreadable, brief, decode
from mmgen.ingest.extraction.limits import Extracted

if TYPE_CHECKING:
    from pypdf import PdfReader


def plain(path: Path, data: bytes) -> Extracted:
    """Text, markdown and source code as they are: offsets are those of the file's own characters."""
    text, metadata = decode(data)
    return text, (), metadata


def pdf_reader(data: bytes) -> PdfReader:
    """Raises Unreadable for one with a password, and whatever pypdf raises for a damaged one; see `damaged_pdf`."""
    import logging

    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings are about the file, and we report those ourselves
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("is encrypted; save it without a password first")
    return reader


def damaged_pdf(why: Exception) -> Unreadable:
    return Unreadable(f"is a damaged pdf ({brief(why)}); save it anew")


def csv(path: Path, data: bytes) -> Extracted:
    """Every row becomes lines of `column: value`, rows separated by a blank line; see `mmgen.ingest.tables`."""
    from mmgen.ingest import tables

    text, metadata = decode(data)
    text, found = tables.rows_text(text, tabs=path.suffix.lower() == ".tsv")
    return text, (), {**metadata, **found}


def jsonl(path: Path, data: bytes) -> Extracted:
    """Every line's value becomes a record; see `mmgen.ingest.json_text`."""
    from mmgen.ingest import json_text

    text, metadata = decode(data)
    text, found = json_text.lines_text(text)
    return text, (), {**metadata, **found}


def json(path: Path, data: bytes) -> Extracted:
    """A list becomes records, a conversation its turns; anything else is printed with indents."""
    from mmgen.ingest import json_text

    text, metadata = decode(data)
    text, found = json_text.text_of(text)
    return text, (), {**metadata, **found}
