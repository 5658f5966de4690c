"""Images of the pages of a store's documents, with quotes marked; and copies of uploaded files, which have no other place."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest, NotFound, UnreadableFile

if TYPE_CHECKING:
    from mmgen.interfaces import Document
    from mmgen.library.document_library import DocumentLibrary

NARROWEST, WIDEST = 100, 2000  # pixels


def page_image(
    library: DocumentLibrary,
    document_id: int,
    page: int,
    span: tuple[int, int] = (0, 0),
    *,
    width: int = 1000,
    format: str = "PNG",
    check: Callable[[], None] = lambda: None,
) -> bytes:
    """A page of a pdf, drawn from the file that was added.

    Args:
        library: the store's.
        document_id: the store's number of the document.
        page: from 1.
        span: characters of the document's text whose place is marked.
        width: pixels, NARROWEST to WIDEST.
        format: PNG or WEBP.
        check: called while it is drawn; what it raises ends it.

    Raises:
        NotFound: no such document or page, or its file is gone or another by now.
        BadRequest: a document without pages, or a width out of range.
        UnreadableFile: the page cannot be drawn.
    """
    from mmgen.ingest.charset import Unreadable
    from mmgen.ingest.extraction.pool import extract
    from mmgen.ingest.pdf import page_image as drawing

    if not NARROWEST <= width <= WIDEST:
        raise BadRequest(f"width is {width}; it can be {NARROWEST} to {WIDEST} pixels")
    store = library.readable()
    document = store.document(document_id)
    name = PurePath(document.uri).name
    if document.kind != "pdf":
        raise BadRequest(f"{name} is {document.kind}; only pages of pdf files can be shown")
    if not 1 <= page <= len(document.pages):
        raise NotFound(f"{name} has no page {page}; it has {len(document.pages)}")
    find = getattr(store, "places", None)
    boxes = find(document_id, *span)[0] if find is not None and span[0] < span[1] else ()
    marks = [(box.left, box.top, box.right, box.bottom) for box in boxes if box.page == page]
    draw = partial(drawing.page_image, page=page, boxes=marks, width=width, format=format)
    names = getattr(store, "copies", None)
    data = original(library.path, document, names.of([document_id]).get(document_id, ()) if names else ())
    try:
        return base64.b64decode(extract(draw, Path(name), data, check=check)[2][drawing.IMAGE])
    except Unreadable as why:
        raise UnreadableFile(f"{name} {why}") from None


def original(store: Path, document: Document, copies: Sequence[str] = ()) -> bytes:
    """The bytes that a document was read from: of the store's copy, else of a file that has not changed. NotFound else.

    `copies`: uris of equal files.
    """
    from mmgen.ingest import loaders

    name = PurePath(document.uri).name
    paths = [_copy(store, document.content_hash), *map(Path, (document.uri, *copies))]
    there = [path for path in paths if path.is_absolute() and path.is_file()]
    for path in there:
        data = loaders.read_bytes(path)
        if hashlib.sha256(data).hexdigest() == document.content_hash:
            return data
    if there:
        raise NotFound(f"{name} has changed since it was added; add it again to see its pages")
    raise NotFound(f"the file of {name} is gone; its text is in the store, its pages cannot be shown")


def keep(store: Path, document: Document, data: bytes) -> None:
    """Keeps a copy of an uploaded pdf beside the store."""
    if document.kind == "pdf":
        path = _copy(store, document.content_hash)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def forget(library: DocumentLibrary, content_hash: str) -> None:
    """Removes the copy of a document that the store no longer holds under any name."""
    store = library.readable()
    if not any(store.unchanged(uri, content_hash) for uri in store.uris()):
        _copy(library.path, content_hash).unlink(missing_ok=True)


def _copy(store: Path, content_hash: str) -> Path:
    return store.absolute() / "files" / f"{content_hash}.pdf"
