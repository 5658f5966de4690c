"""Adds uploaded files to a store and removes documents; each file has its own outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmgen.engine.job import Request
from mmgen.errors import Forbidden, MmgenError, TooLarge, UnreadableFile
from mmgen.ingest import image_files
from mmgen.ingest.records import LEFT_OUT, PARTIAL
from mmgen.ingest.web import url_fetch
from mmgen.interfaces import Document, Scalar
from mmgen.library import page_images, web_documents
from mmgen.library.document_library import DocumentLibrary
from mmgen.library.store_handle import checked
from mmgen.serve.routes.store_schemas import FileOutcome, FileOutcomes
from mmgen.serve.settings import ServeConfig
from mmgen.serve.uploads import bare, image


@dataclass(frozen=True)
class Upload:
    """One uploaded file. `name` is a label and never opened."""

    name: str  # may be empty where there is a url
    data: bytes | None  # None: to be fetched from `url`
    url: str
    metadata: Mapping[str, Scalar]


def add_uploads(
    library: DocumentLibrary,
    uploads: Sequence[Upload],
    settings: ServeConfig,
    request: Request,
    language: str | None = None,
) -> FileOutcomes:
    """Loads, splits, embeds and stores the uploads; unreadable ones get a failed outcome."""
    library.writable(make=False)
    outcomes: dict[int, FileOutcome] = {}
    texts: dict[int, Document] = {}
    originals: list[tuple[Document, bytes]] = []
    for place, one in enumerate(uploads):
        try:
            name, data = (one.name, one.data) if one.data is not None else _fetched(one, settings)
            if Path(name).suffix.lower().removeprefix(".") in image_files.SUFFIXES:
                outcomes[place] = _image(library, replace(one, name=name), data, request)
            else:
                texts[place] = library.load(Path(name), data, metadata=checked(one.metadata), request=request)
                originals.append((texts[place], data))
        except (UnreadableFile, TooLarge, Forbidden) as why:
            outcomes[place] = FileOutcome(name=one.name or one.url, status="failed", reason=str(why))
    before = {document.uri: _hash(library, document.uri) for document in texts.values()}
    added = library.add(documents=list(texts.values()), language=language, request=request) if texts else None
    copies = dict(added.copies) if added else {}
    for document, data in originals:
        page_images.keep(library.path, document, data)
        if before[document.uri] not in ("", document.content_hash):
            page_images.forget(library, before[document.uri])
    for place, document in texts.items():
        unchanged = added is not None and document.uri in added.unchanged
        outcomes[place] = FileOutcome(
            name=document.uri,
            status="unchanged" if unchanged else "added",
            id=library.readable().id_of(document.uri),
            reason=_note(document, copies.get(document.uri)),
        )
    return FileOutcomes(data=[outcomes[place] for place in range(len(uploads))], passages=added.passages if added else 0)


def _fetched(one: Upload, settings: ServeConfig) -> tuple[str, bytes]:
    """Name and bytes of what stands at a URL; without a name of its own it gets one by its address and type."""
    found = url_fetch.fetch(one.url, settings)
    if one.name or found.kind.startswith("image/"):
        return one.name or "image." + found.kind.removeprefix("image/").removesuffix("+xml"), found.data
    return bare(web_documents.name_of(found)), web_documents.text_bytes(found)


def remove(library: DocumentLibrary, id: int) -> None:
    """Raises NotFound where there is no such document."""
    store = library.writable(make=False)
    document = store.document(id)
    uri = document.uri
    copies = getattr(store, "copies", None)
    for name in (*(copies.of([id]).get(id, ()) if copies else ()), uri):  # with its last name the document goes
        store.remove(name)
    page_images.forget(library, document.content_hash)
    if Path(uri).parent == _files(library):
        Path(uri).unlink(missing_ok=True)


def _note(document: Document, of: str | None) -> str | None:
    notes = [f"read in part: {missing}"] if (missing := document.metadata.get(PARTIAL)) else []
    notes += [f"left out: {missing}"] if (missing := document.metadata.get(LEFT_OUT)) else []
    return "; ".join([*notes, *([f"the same file as {of}"] if of else [])]) or None


def _hash(library: DocumentLibrary, uri: str) -> str:
    """Of what the store holds under that name; empty where it is nothing."""
    number = library.readable().id_of(uri)
    return "" if number is None else library.readable().document(number).content_hash


def _image(library: DocumentLibrary, one: Upload, data: bytes, request: Request) -> FileOutcome:
    """Saves the file beside the store under its digest, and indexes it."""
    try:
        image(data, one.name)
        path = _files(library) / (hashlib.sha256(data).hexdigest() + Path(one.name).suffix.lower())
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        report = library.gallery().read([path], metadata={"name": one.name, **one.metadata}, request=request)
    except MmgenError as why:
        return FileOutcome(name=one.name, status="failed", reason=str(why))
    left = [*report.duplicates, *report.near]
    if report.skipped or left:
        path.unlink(missing_ok=True)
    if report.skipped:
        return FileOutcome(name=one.name, status="failed", reason=report.skipped[0][1])
    uri = left[0][1] if left else str(path)
    unchanged = bool(left or report.unchanged)
    return FileOutcome(name=one.name, status="unchanged" if unchanged else "added", id=library.readable().id_of(uri))


def _files(library: DocumentLibrary) -> Path:
    return library.path / "files"
