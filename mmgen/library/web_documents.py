"""Documents at web addresses: fetched as `url_fetch` allows, named by address and type, refused where they hold no text."""

from __future__ import annotations

import codecs
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mmgen.errors import UnreadableFile
from mmgen.ingest.loaders import LOADERS, MAX_BYTES
from mmgen.ingest.web import url_fetch
from mmgen.ingest.web.url_fetch import FetchedFile, OpenFetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmgen.engine.job import Request
    from mmgen.interfaces import Document, Scalar
    from mmgen.library.document_library import DocumentLibrary

SUFFIXES = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "jsonl",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "message/rfc822": "eml",
    "application/mbox": "mbox",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.text": "odt",
}
TEXTLESS = ("image/", "audio/", "video/", "font/", "application/zip", "application/gzip", "application/x-tar")
LONGEST_NAME = 120


def document_at(url: str, library: DocumentLibrary, metadata: Mapping[str, Scalar], request: Request) -> Document:
    """The document at a public http(s) address; its uri is the address as it was given.

    Raises:
        Forbidden, BadRequest, TooLarge: as `url_fetch.fetch`; at most what a file may have.
        UnreadableFile: it holds no text, or cannot be read.
    """
    found = url_fetch.fetch(url, OpenFetch(MAX_BYTES))
    document = library.load(Path(name_of(found)), text_bytes(found), metadata=metadata, request=request)
    return replace(document, uri=url)


def name_of(found: FetchedFile) -> str:
    """A file name with the suffix of its type. Raises UnreadableFile for a type that holds no text."""
    if found.kind.startswith(TEXTLESS):
        raise UnreadableFile(f"it is {found.kind}, which holds no text; give the address of a page or a document")
    parts = urlsplit(found.url)
    base = PurePosixPath(unquote(parts.path)).name.replace("\0", "")[-LONGEST_NAME:] or parts.hostname or "page"
    suffix, own = SUFFIXES.get(found.kind), PurePosixPath(base).suffix.lower().removeprefix(".")
    if suffix is None or own == suffix or (suffix == "txt" and own in LOADERS):  # many servers call every source plain text
        return base
    return f"{base}.{suffix}"


def text_bytes(found: FetchedFile) -> bytes:
    """The bytes, in UTF-8 where the answer names another encoding and they are not in UTF-8 already."""
    if not found.kind.startswith("text/") or not found.charset:
        return found.data
    try:
        found.data.decode()
        return found.data
    except UnicodeDecodeError:
        pass
    try:
        return codecs.decode(found.data, found.charset).encode()
    except (LookupError, ValueError, TypeError, AttributeError):  # no encoding of text, or not this one: it is guessed
        return found.data
