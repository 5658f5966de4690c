"""Reads what a mail carries: files by their own extractors, as sections of the mail's text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmgen.ingest import extractors, html, notebook
from mmgen.ingest.charset import Unreadable, brief
from mmgen.ingest.formats import epub, open_document, presentation, rtf, spreadsheet
from mmgen.ingest.formats.text_builder import OutputFull, TextBuilder
from mmgen.ingest.formats.word.document import docx
from mmgen.ingest.pdf.extract import pdf
from mmgen.ingest.records import LEFT_OUT, PARTIAL
from mmgen.interfaces import Loader

READERS: dict[str, Loader] = {
    **dict.fromkeys(("txt", "text", "md", "markdown", "rst", "log", "ics", "vcf"), extractors.plain),
    **dict.fromkeys(("html", "htm", "xhtml"), html.html),
    "pdf": pdf,
    **dict.fromkeys(("csv", "tsv"), extractors.csv),
    **dict.fromkeys(("jsonl", "ndjson"), extractors.jsonl),
    "json": extractors.json,
    "ipynb": notebook.ipynb,
    **dict.fromkeys(("docx", "docm", "dotx", "dotm", "doc"), docx),
    **dict.fromkeys(("pptx", "pptm", "ppsx", "ppsm", "potx", "ppt"), presentation.pptx),
    **dict.fromkeys(("xlsx", "xlsm", "xltx", "xls"), spreadsheet.xlsx),
    **dict.fromkeys(("odt", "ott"), open_document.odt),
    **dict.fromkeys(("ods", "ots"), open_document.ods),
    **dict.fromkeys(("odp", "otp"), open_document.odp),
    "epub": epub.epub,
    "rtf": rtf.rtf,
}
"""By suffix."""
MOST = 200  # attachments of a mail that are read, those of messages in it among them
HEADING = re.compile(r"^(#{1,6})(?= )", re.MULTILINE)


class Attachments:
    """Reads attachments into a builder, up to MOST of them."""

    def __init__(self, builder: TextBuilder) -> None:
        self.builder, self.count = builder, 0

    def room(self, name: str) -> bool:
        """Whether one more is read; else it is noted."""
        self.count += 1
        if self.count > MOST:
            self.builder.miss(f"{{}} attachments beyond the limit of {MOST}", name)
        return self.count <= MOST

    def read(self, name: str, kind: str, data: bytes) -> None:
        """One file.

        Args:
            name: of the file.
            kind: its media type.
            data: its bytes.
        """
        suffix = PurePosixPath(name).suffix.lower().removeprefix(".")
        loader = READERS.get(suffix) or (extractors.plain if kind.startswith("text/") else None)
        if kind.startswith("image/") and suffix not in READERS:
            self.builder.miss("{} attached pictures", name)
            return
        if loader is None:
            self.builder.miss("{} attachments of kinds that are not read", name)
            return
        if not data.strip():
            self.builder.miss("{} empty attachments", name)
            return
        try:
            extracted = loader(Path(name), data)
        except (Unreadable, OutputFull) as why:
            self.builder.miss(f"{name}, which {brief(why) if isinstance(why, OutputFull) else str(why).partition(';')[0]}")
            return
        except Exception as why:  # of any parser, about a damaged file
            self.builder.miss(f"{name}, which is damaged ({brief(why)})")
            return
        text, pages, metadata = extracted[:3]
        self.builder.add(f"## Attachment: {name}", *_sections(text, pages))
        self._told(name, metadata)

    def _told(self, name: str, metadata: dict[str, Any]) -> None:
        if missing := metadata.get(PARTIAL):
            self.builder.miss(f"{missing} of {name}")
        if missing := metadata.get(LEFT_OUT):
            self.builder.leave_out(f"{missing} of {name}")


def _sections(text: str, pages: Sequence[int]) -> Iterator[str]:
    """The text with its headings below that of the attachment, its pages as headings of their own."""
    ends = [*pages[1:], len(text)] if pages else [len(text)]
    for number, (begin, end) in enumerate(zip(pages or (0,), ends, strict=True), 1):
        part = text[begin:end].strip()
        if pages and part:
            yield f"### Page {number}"
        yield HEADING.sub(lambda mark: "#" * min(len(mark[1]) + (3 if pages else 2), 6), part)
