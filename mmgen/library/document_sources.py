"""What an `add` is to read, and whether the store holds it as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.interfaces import Document, Scalar, Store

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@dataclass(frozen=True)
class DocumentSource:
    """A file, or a document in memory."""

    uri: str
    unchanged: bool  # the store holds it with the same metadata and language
    read: Callable[[], Document]
    digest: str = ""  # of a file's bytes; empty where the loader has something to say


def of_files(
    store: Store, files: Sequence[Path], metadata: Mapping[str, Scalar], language: str, load: Callable[[Path], Document]
) -> Iterator[DocumentSource]:
    """`language`: of all of them; "": each one's is found out."""
    for path in files:
        shown = str(path).encode("utf-8", "backslashreplace").decode()  # for a name that is not UTF-8: the loader says so
        digest = _digest(path) if shown == str(path) else ""
        same = shown == str(path) and _unchanged(store, shown, digest, metadata, language)
        yield DocumentSource(shown, same, partial(in_language, load, path, language), digest)


def of_documents(store: Store, documents: Sequence[Document]) -> Iterator[DocumentSource]:
    for document in documents:
        same = _unchanged(store, document.uri, document.content_hash, document.metadata, document.language)
        yield DocumentSource(document.uri, same, lambda document=document: document)  # type: ignore[misc]


def load(
    rt: Runtime,
    path: Path,
    data: bytes | None = None,
    *,
    metadata: Mapping[str, Scalar],
    keep: str,
    request: Request | None = None,
    ocr: bool | None = None,
    comments: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Document:
    """A file as a document, with the plugins' loaders and the configured limits; see `mmgen.ingest.loaders.load`."""
    from mmgen.ingest import image_text, loaders
    from mmgen.ingest.extraction.limits import ExtractionLimits

    return loaders.load(
        path,
        data,
        metadata=metadata,
        loaders={**(image_text.loaders() if ocr else {}), **rt.loaders()},
        limits=ExtractionLimits(rt.config.document_s, rt.config.document_memory),
        check=request.check if request else lambda: None,
        progress=progress,
        ocr=ocr is not False,
        comments=comments,
        keep=keep,
    )


def _digest(path: Path) -> str:
    """As `Document.content_hash`; empty where the loader has something to say."""
    from mmgen.ingest.loaders import MAX_BYTES

    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def in_language(load: Callable[[Path], Document], path: Path, language: str) -> Document:
    """The file, told to be in that language; "": it is found out."""
    document = load(path)
    return replace(document, language=language) if language else document


def _unchanged(store: Store, uri: str, content_hash: str, metadata: Mapping[str, Scalar], language: str) -> bool:
    """Whether the store holds this content, with these metadata among its own, in that language where one is given."""
    if not store.unchanged(uri, content_hash):
        return False
    if not metadata and not language:
        return True
    kept = store.document(uri)
    return kept.metadata == {**kept.metadata, **metadata} and language in ("", kept.language)
