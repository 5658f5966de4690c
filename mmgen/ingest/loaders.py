"""Files to documents. Knows formats and their libraries; not folders, passages or stores."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from mmgen.errors import NotFound, UnreadableFile
from mmgen.ingest import formats
from mmgen.ingest.formats import Extracted
from mmgen.interfaces import Document, Scalar

MAX_BYTES = 64 * 2**20
Loader = Callable[[Path, bytes], Extracted]

CODE = {
    "py": "python", "js": "javascript", "ts": "typescript", "go": "go", "rs": "rust", "java": "java", "c": "c", "h": "c",
    "cpp": "c++", "hpp": "c++", "cs": "c#", "rb": "ruby", "php": "php", "sh": "shell", "sql": "sql", "toml": "toml", "yaml": "yaml",
    "yml": "yaml", "css": "css", "kt": "kotlin", "swift": "swift", "scala": "scala", "lua": "lua", "r": "r", "pl": "perl",
}  # fmt: skip
LOADERS: dict[str, tuple[str, Loader]] = {
    "txt": ("text", formats.plain),
    "md": ("markdown", formats.plain),
    "markdown": ("markdown", formats.plain),
    "rst": ("text", formats.plain),
    "html": ("html", formats.html),
    "htm": ("html", formats.html),
    "pdf": ("pdf", formats.pdf),
    "docx": ("docx", formats.docx),
    "csv": ("csv", formats.csv),
    "tsv": ("csv", formats.csv),
    "jsonl": ("jsonl", formats.jsonl),
    "json": ("json", formats.json),
    **{suffix: ("code", formats.plain) for suffix in CODE},
}
"""Suffix -> the document's kind, and what reads it. Another suffix is read as text if it looks like text."""


def load(
    path: Path,
    data: bytes | None = None,
    *,
    metadata: Mapping[str, Scalar] | None = None,
    loaders: Mapping[str, Loader] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Document:
    """A file as a document.

    Args:
        path: the file; its suffix chooses the format, its absolute form is the document's uri.
        data: its bytes, where they are at hand already.
        metadata: kept beside what the format itself tells.
        loaders: more formats by suffix, a plugin's; they come before our own.
        max_bytes: a larger file is refused unread.

    Raises:
        NotFound: no such file.
        UnreadableFile: empty, too large, damaged, encrypted, binary, or without text; one line says which.
    """
    if data is None:
        data = _read(path, max_bytes)
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf"):
        raise UnreadableFile(f"{path} is empty; there is nothing to add")
    suffix = path.suffix.lower().removeprefix(".")
    if loaders and suffix in loaders:
        kind, loader = suffix, loaders[suffix]
    else:
        kind, loader = LOADERS.get(suffix, ("text", formats.plain))
    try:
        text, pages, found = loader(path, data)
    except formats.Unreadable as why:
        raise UnreadableFile(f"{path} {why}") from None
    if not text.strip():
        raise UnreadableFile(f"{path} holds no text; there is nothing to add")
    if suffix in CODE and kind == "code":
        found["language"] = CODE[suffix]
    digest = hashlib.sha256(data).hexdigest()
    return Document(str(path), text, kind, digest, pages, {**found, **(metadata or {})})


def load_stdin(data: bytes, name: str = "stdin", metadata: Mapping[str, Scalar] | None = None) -> Document:
    """Text from a pipe; UnreadableFile where it is none."""
    return load(Path(name), data, metadata=metadata)


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise UnreadableFile(f"{path} is {size / 2**20:.0f} MB, the limit is {max_bytes / 2**20:.0f} MB; split it")
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except IsADirectoryError:
        raise UnreadableFile(f"{path} is a folder; give a file") from None
    except OSError as why:
        raise UnreadableFile(f"{path} cannot be read ({why.strerror}); check its permissions") from None
