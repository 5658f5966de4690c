"""Text extraction per format: `(path, bytes) -> (text, page offsets, metadata)`. Parser libraries are imported on use."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.ingest.charset import Unreadable, brief, clean, decode
from mmgen.ingest.extraction.limits import Extracted

if TYPE_CHECKING:
    from pypdf import PdfReader

UNPACKED = 2**29  # bytes that a docx may unpack to


def plain(path: Path, data: bytes) -> Extracted:
    """Text, markdown and source code as they are: offsets are those of the file's own characters."""
    if data[:4] in (b"%PDF", b"PK\x03\x04", b"\x89PNG", b"\x7fELF") or data[:3] == b"\xff\xd8\xff":
        raise Unreadable(f"is no text file, it begins with {data[:4]!r}; rename a pdf or docx, convert anything else")
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


def docx(path: Path, data: bytes) -> Extracted:
    """Paragraphs and tables in their order; heading styles become markdown's headings."""
    import zipfile

    import docx as library

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("is encrypted, or an old .doc; save it as docx without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > UNPACKED:
            raise Unreadable(f"unpacks to {unpacked / 2**20:.0f} MB, the limit is {UNPACKED / 2**20:.0f} MB; split it")
        document = library.Document(io.BytesIO(data))
        _unwrap(document.element.body)
        text = "\n\n".join(part for part in map(_block_text, document.iter_inner_content()) if part)
        title = document.core_properties.title or ""
    except Unreadable:
        raise
    except Exception as why:  # zip, XML and package errors: the library has no base class for them
        raise Unreadable(f"is a damaged docx ({brief(why)}); save it anew") from None
    return clean(text), (), {"title": title} if title else {}


def _unwrap(body: Any) -> None:
    """Puts the content of content controls and tracked insertions where python-docx looks for it."""
    from docx.oxml.ns import qn

    for name in ("w:sdtContent", "w:sdt", "w:ins", "w:moveTo", "w:smartTag"):
        for node in list(body.iter(qn(name))):
            for child in list(node):
                node.addprevious(child)
            node.getparent().remove(node)


def _block_text(block: Any) -> str:
    """A paragraph with its mark as in markdown, or a table as lines of cells."""
    if hasattr(block, "rows"):
        rows = ({cell._tc: cell for cell in row.cells} for row in block.rows)  # merged cells come once for every place
        return "\n".join(" | ".join(map(_cell_text, row.values())) for row in rows)
    text, mark = block.text.strip(), _mark((block.style.name or "") if block.style else "")
    return f"{mark} {' '.join(text.split())}" if text and mark else text


def _mark(style: str) -> str:
    if level := re.fullmatch(r"Heading (\d)", style):
        return "#" * min(6, int(level[1]))
    return "#" if style == "Title" else "-" if style.startswith("List") else ""


def _cell_text(cell: Any) -> str:
    from docx.text.paragraph import Paragraph

    paragraphs = (Paragraph(node, cell).text for node in cell._tc.iter("{*}p"))  # of inner tables too
    return " ".join(" ".join(paragraphs).split())


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
