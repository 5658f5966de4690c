"""Bytes of one format to text. Every reader is `(path, bytes) -> (text, page offsets, metadata)`; libraries load on use."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

Extracted = tuple[str, tuple[int, ...], dict[str, Any]]


BINARY = "is a binary file; give text, or a format that mmgen reads"


class Unreadable(Exception):
    """Why not, as the rest of a sentence that begins with the path."""


def clean(text: str) -> str:
    """Newlines as \\n, no byte-order mark, no NUL: the only changes that are made to a text."""
    return re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff")).replace("\0", " ")


def decode(data: bytes) -> tuple[str, dict[str, Any]]:
    """UTF-8, else UTF-16 by its mark, else the likeliest encoding; metadata says which if it is not UTF-8."""
    encoding = "utf-8"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            encoding = "utf-16"
        elif b"\0" in data[:8192]:
            raise Unreadable(BINARY) from None
        else:
            from charset_normalizer import from_bytes

            best = from_bytes(data[: 2**20]).best()
            encoding = best.encoding if best else "utf-8"
        text = data.decode(encoding, errors="replace")
    sample = text[:8192]
    if sum(c < " " and c not in "\t\n\r\f\x1b\0" for c in sample) > len(sample) / 10:
        raise Unreadable(BINARY)
    return clean(text), {} if encoding == "utf-8" else {"encoding": encoding}


def plain(path: Path, data: bytes) -> Extracted:
    """Text, markdown and source code as they are: offsets are those of the file's own characters."""
    if data[:4] in (b"%PDF", b"PK\x03\x04", b"\x89PNG", b"\x7fELF") or data[:3] == b"\xff\xd8\xff":
        raise Unreadable(f"is no text file in spite of its name ({data[:4]!r}); rename it to its own format")
    text, metadata = decode(data)
    return text, (), metadata


def html(path: Path, data: bytes) -> Extracted:
    """Headings become markdown's, so that the splitter sees them; scripts, styles and navigation go."""
    from bs4 import BeautifulSoup
    from bs4.element import NavigableString, PreformattedString, Tag

    soup = BeautifulSoup(data, "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(["script", "style", "nav", "noscript", "template", "svg", "head", "iframe"]):
        tag.decompose()
    parts: list[str] = []
    code: list[str] = []  # kept out of the text until its white space is tidied
    blocks = {"p", "div", "section", "article", "ul", "ol", "table", "tr", "blockquote", "pre", "dl", "dt", "dd", "figure",
              "main", "header", "footer", "aside", "form", "figcaption"}  # fmt: skip

    def walk(node: Tag) -> None:
        for child in node.children:
            if isinstance(child, PreformattedString):
                continue  # comments and the like
            if isinstance(child, NavigableString):
                parts.append(re.sub(r"[\s\0]+", " ", str(child)))
            elif isinstance(child, Tag):
                element(child)

    def element(tag: Tag) -> None:
        if re.fullmatch(r"h[1-6]", tag.name):
            parts.append("\n\n" + "#" * int(tag.name[1]) + " " + " ".join(tag.get_text(" ").split()) + "\n\n")
        elif tag.name == "pre":
            code.append("```\n" + tag.get_text().strip("\n") + "\n```")
            parts.append(f"\n\n\0{len(code) - 1}\0\n\n")
        elif tag.name == "br":
            parts.append("\n")
        elif tag.name == "li":
            parts.append("\n- ")
            walk(tag)
        elif tag.name in ("td", "th"):
            walk(tag)
            parts.append(" | ")
        else:
            around = "\n\n" if tag.name in blocks - {"tr"} else "\n" if tag.name == "tr" else ""
            parts.append(around)
            walk(tag)
            parts.append(around)

    walk(soup)
    text = re.sub(r"[ \t]*\n[ \t]*(?=\n|\S)", "\n", "".join(parts))
    text = re.sub(r" {2,}", " ", re.sub(r"\n{3,}", "\n\n", text)).strip()
    text = clean(re.sub(r"\0(\d+)\0", lambda mark: code[int(mark[1])], text))
    if title and title not in text[: len(title) + 80]:
        text = f"# {title}\n\n{text}"
    return text, (), {"title": title} if title else {}


def pdf(path: Path, data: bytes) -> Extracted:
    """The text of each page; pages are joined by a blank line, and their offsets are kept."""
    import logging

    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings are about the file, and we report those ourselves
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("is encrypted; save it without a password first")
        texts = [clean(page.extract_text() or "").strip() for page in reader.pages]
        title = (reader.metadata.title or "").strip() if reader.metadata else ""
    except Unreadable:
        raise
    except PyPdfError as why:
        raise Unreadable(f"is a damaged pdf ({_line(why)}); save it anew") from None
    except Exception as why:  # pypdf lets all kinds of errors out of damaged files
        raise Unreadable(f"is a damaged pdf ({type(why).__name__}: {_line(why)}); save it anew") from None
    if not any(texts):
        raise Unreadable(f"has {len(texts)} pages and no text: it is scanned; run OCR over it first")
    pages, at = [], 0
    for text in texts:
        pages.append(at)
        at += len(text) + 2
    return "\n\n".join(texts), tuple(pages), {"title": title} if title else {}


def docx(path: Path, data: bytes) -> Extracted:
    """Paragraphs and tables in their order; heading styles become markdown's headings."""
    import docx as library
    from docx.table import Table

    try:
        document = library.Document(io.BytesIO(data))
        parts = []
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                parts.append("\n".join(" | ".join(cell.text.strip() for cell in row.cells) for row in block.rows))
                continue
            style = (block.style.name or "") if block.style else ""
            level = re.fullmatch(r"Heading (\d)", style)
            marks = "#" * int(level[1]) + " " if level else "# " if style == "Title" else ""
            if block.text.strip():
                parts.append(marks + block.text)
        title = document.core_properties.title or ""
    except Exception as why:  # zip, XML and package errors: the library has no base class for them
        raise Unreadable(f"is a damaged docx ({type(why).__name__}: {_line(why)}); save it anew") from None
    return clean("\n\n".join(parts)), (), {"title": title} if title else {}


def csv(path: Path, data: bytes) -> Extracted:
    """Every row becomes lines of `column: value`, rows parted by a blank line."""
    import csv as library

    text, metadata = decode(data)
    try:
        sample = text[:8192]
        dialect: Any = library.Sniffer().sniff(sample, delimiters=",;\t|")
    except library.Error:
        dialect = library.excel_tab if path.suffix.lower() == ".tsv" else library.excel
    try:
        rows = list(library.reader(io.StringIO(text), dialect))
    except library.Error as why:
        raise Unreadable(f"is a damaged csv ({_line(why)}); save it anew") from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        return text, (), metadata
    names = [name.strip() or f"column {number}" for number, name in enumerate(rows[0], 1)]
    blocks = [
        "\n".join(f"{name}: {cell.strip()}" for name, cell in zip(names, row, strict=False) if cell.strip())
        for row in rows[1:]
    ]
    return "\n\n".join(blocks), (), {**metadata, "rows": len(blocks)}


def jsonl(path: Path, data: bytes) -> Extracted:
    """Every object becomes a block: its text field as it is, the other values as `key: value` lines before it."""
    import json as library

    text, metadata = decode(data)
    blocks = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            blocks.append(_block(library.loads(line)))
        except ValueError as why:
            raise Unreadable(f"is damaged at line {number} ({_line(why)}); repair that line") from None
    return "\n\n".join(blocks), (), {**metadata, "rows": len(blocks)}


def json(path: Path, data: bytes) -> Extracted:
    """A list becomes blocks as in jsonl; anything else is printed with indents."""
    import json as library

    text, metadata = decode(data)
    try:
        value = library.loads(text)
    except ValueError as why:
        raise Unreadable(f"is damaged json ({_line(why)}); repair it") from None
    if isinstance(value, list):
        return "\n\n".join(_block(item) for item in value), (), metadata
    return clean(library.dumps(value, indent=2, ensure_ascii=False)), (), metadata


def _block(value: Any) -> str:
    if not isinstance(value, dict):
        return clean(str(value))
    body = next((key for key in ("text", "content", "body") if isinstance(value.get(key), str)), None)
    lines = [f"{key}: {item}" for key, item in value.items() if key != body and isinstance(item, str | int | float | bool)]
    return clean("\n".join([*lines, value[body]] if body else lines))


def _line(why: BaseException) -> str:
    return " ".join(str(why).split())[:120] or type(why).__name__
