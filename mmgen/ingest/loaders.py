"""Loads files as documents: selects the extractor by format."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmgen.errors import NotFound, UnreadableFile
from mmgen.ingest import extractors, html, notebook
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import ExtractionLimits
from mmgen.ingest.extraction.pool import extract
from mmgen.ingest.extraction.progress import Progress
from mmgen.ingest.formats import office
from mmgen.ingest.pdf import recognition
from mmgen.ingest.pdf.extract import pdf
from mmgen.interfaces import Document, Loader, Scalar

MAX_BYTES = 64 * 2**20

CODE = {
    "py": "python", "js": "javascript", "mjs": "javascript", "jsx": "javascript", "ts": "typescript",
    "tsx": "typescript", "go": "go", "rs": "rust", "java": "java", "c": "c", "h": "c", "cpp": "c++", "cc": "c++",
    "cxx": "c++", "hpp": "c++", "cs": "c#", "rb": "ruby", "php": "php", "sh": "shell", "bash": "shell",
    "sql": "sql", "toml": "toml", "ini": "ini", "cfg": "ini", "yaml": "yaml", "yml": "yaml", "xml": "xml",
    "css": "css", "kt": "kotlin", "swift": "swift", "scala": "scala", "lua": "lua", "r": "r", "pl": "perl",
    "pyi": "python", "cjs": "javascript", "vue": "vue", "svelte": "svelte", "scss": "css", "hs": "haskell", "jl": "julia",
    "dart": "dart", "ex": "elixir", "exs": "elixir", "erl": "erlang", "clj": "clojure", "ml": "ocaml", "zig": "zig",
    "proto": "protobuf", "ps1": "powershell", "bat": "batch", "tf": "terraform", "m": "objective-c",
}  # fmt: skip
LOADERS: dict[str, tuple[str, Loader]] = {
    "txt": ("text", extractors.plain),
    "text": ("text", extractors.plain),
    "rst": ("text", extractors.plain),
    "md": ("markdown", extractors.plain),
    "markdown": ("markdown", extractors.plain),
    "html": ("html", html.html),
    "htm": ("html", html.html),
    "xhtml": ("html", html.html),
    "pdf": ("pdf", pdf),
    **office.LOADERS,
    "csv": ("csv", extractors.csv),
    "tsv": ("csv", extractors.csv),
    "jsonl": ("jsonl", extractors.jsonl),
    "ndjson": ("jsonl", extractors.jsonl),
    "json": ("json", extractors.json),
    "ipynb": ("markdown", notebook.ipynb),
    **dict.fromkeys(CODE, ("code", extractors.plain)),
}
"""Suffix -> the document's kind, and what reads it. With another suffix the first bytes tell."""


def load(
    path: str | Path,
    data: bytes | None = None,
    *,
    metadata: Mapping[str, Scalar] | None = None,
    loaders: Mapping[str, Loader] | None = None,
    max_bytes: int = MAX_BYTES,
    limits: ExtractionLimits | None = None,
    check: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
    ocr: bool = True,
    keep: str = "",
    comments: bool = False,
) -> Document:
    """A file as a document. Our extractors run in a worker process; a plugin's loader runs here, without limits.

    Args:
        path: the file; its suffix chooses the format, its absolute form is the document's uri.
        data: its bytes, where they are at hand already.
        metadata: kept beside what the format itself tells.
        loaders: more formats by suffix, a plugin's; they come before our own.
        max_bytes: a larger file is refused unread.
        limits: of time and memory; None: the usual ones.
        check: called every 50 ms while it is read; what it raises ends the extraction.
        progress: gets the pages read and their number from formats that tell.
        ocr: whether pages of a pdf that are pictures are recognised, where rapidocr is installed.
        keep: a folder that holds recognised pages until their document is stored; see `mmgen.ingest.pdf.recognition.forget`.
        comments: whether those in office files are read too; else they are told in the metadata.

    Raises:
        NotFound: no such file.
        UnreadableFile: empty, too large, damaged, encrypted, binary, without text, or beyond a limit; one line says which.
    """
    path = Path(path)
    shown = str(path).encode("utf-8", "backslashreplace").decode()
    if shown != str(path):
        raise UnreadableFile(f"{shown} has a name that is not UTF-8; rename it")
    if data is None:
        path = path.absolute()
        data = read_bytes(path, max_bytes)
    if len(data) > max_bytes:
        raise UnreadableFile(f"{path} is larger than the limit of {max_bytes / 2**20:.0f} MB; split it")
    if not data.strip(b" \t\r\n\0\xef\xbb\xbf"):
        raise UnreadableFile(f"{path} is empty; there is nothing to add")
    suffix = path.suffix.lower().removeprefix(".")
    if loaders and suffix in loaders:
        kind, loader = suffix, loaders[suffix]
    else:
        kind, loader = LOADERS[suffix if suffix in LOADERS else _sniffed(data)]
    if ocr and getattr(loader, "__module__", "") in recognition.READERS:
        limits = _with_recognition(limits)
    if loader is pdf:
        loader = partial(pdf, ocr=ocr, keep=keep)
    elif comments and loader in office.COMMENTED:
        loader = partial(loader, comments=True)
    try:
        text, pages, found, layout = extract(loader, path, data, limits, check, progress)
    except Unreadable as why:
        raise UnreadableFile(f"{path} {why}") from None
    if not text.strip():
        raise UnreadableFile(f"{path} holds no text; there is nothing to add")
    if kind == "code" and suffix in CODE:
        found["language"] = CODE[suffix]
    digest = hashlib.sha256(data).hexdigest()
    return Document(str(path), text, kind, digest, pages, {**found, **(metadata or {})}, layout=layout)


def _with_recognition(limits: ExtractionLimits | None) -> ExtractionLimits:
    limits = limits or ExtractionLimits()
    return replace(limits, memory=limits.memory + recognition.MEMORY) if recognition.is_installed() else limits


def load_stdin(
    data: bytes | str,
    name: str = "stdin",
    metadata: Mapping[str, Scalar] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Document:
    """Text from a pipe; a suffix in `name` chooses the format. UnreadableFile where it is none."""
    found = data.encode("utf-8", "replace") if isinstance(data, str) else data
    return load(Path(name), found, metadata=metadata, check=check)


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """All of a file. Raises NotFound, or UnreadableFile where it is no regular file, too large, or may not be read."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise UnreadableFile(f"{path} is a folder that cannot be listed; give a file, or check its permissions")
        if not stat.S_ISREG(found.st_mode):  # a named pipe would block, a device never end
            raise UnreadableFile(f"{path} is no regular file; pipe its content to standard input")
        if found.st_size > max_bytes:
            size, limit = found.st_size / 2**20, max_bytes / 2**20
            raise UnreadableFile(f"{path} is {size:.0f} MB, the limit is {limit:.0f} MB; split it")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)  # it may be growing
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} does not exist; check the path") from None
    except OSError as why:
        raise UnreadableFile(f"{path} cannot be read ({why.strerror}); check its permissions") from None
    except ValueError:  # a NUL in the name
        raise NotFound(f"{str(path)!r} is no file name; check the path") from None


def _sniffed(data: bytes) -> str:
    """The suffix that data without a known one should have."""
    if data.startswith(b"%PDF-"):
        return "pdf"
    if (suffix := office.sniffed(data)) in LOADERS:
        return suffix
    return "html" if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)\b", data[:512], re.I) else "txt"
