"""Extracts images and their captions from PDF and HTML documents, in a worker process. Fetches nothing."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes

from mmgen.errors import MmgenError, UnreadableFile
from mmgen.ingest import extractors, html_tree, loaders
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted, ExtractionLimits
from mmgen.ingest.extraction.pool import extract
from mmgen.ingest.image_files import plain
from mmgen.ingest.records import PARTIAL

if TYPE_CHECKING:
    from lxml.html import HtmlElement
    from pypdf import PageObject

log = logging.getLogger(__name__)
SUFFIXES = ("pdf", "html", "htm", "xhtml")
LEAST = 32  # pixels: smaller images are decoration
MOST = 500  # images of a document
LONGEST_CAPTION = 1_000
FIGURE = re.compile(r"^\s*((?:figure|fig\.|abbildung|abb\.|bild)\s*\d.*)$", re.I | re.M)


@dataclass(frozen=True)
class EmbeddedImage:
    """An image in a document."""

    name: str  # image-1, image-2, ... in the document's order
    data: bytes = field(repr=False)  # of an image file
    caption: str = ""
    page: int | None = None  # from 1; pdf only


def inside(
    path: Path, data: bytes, limits: ExtractionLimits | None = None, check: Callable[[], None] = lambda: None
) -> list[EmbeddedImage]:
    """The images of a pdf or html file as `images_of` finds them, within limits of time, memory and size; what goes beyond
    the size is left out, and the log says so.

    `check`: called while waiting; what it raises ends the work. Raises UnreadableFile for a document that cannot be read.
    """
    try:
        text, _, metadata, _ = extract(listed, path, data, limits, check)
    except Unreadable as why:
        raise UnreadableFile(f"{path} {why}") from None
    if PARTIAL in metadata:
        log.warning("%s: %s", path, metadata[PARTIAL])
    rows = [json.loads(line) for line in text.splitlines()]
    return [EmbeddedImage(name, base64.b64decode(packed), caption, page) for name, caption, page, packed in rows]


def listed(path: Path, data: bytes) -> Extracted:
    """`images_of` as lines of JSON: how they leave a worker process."""
    rows, room, metadata = [], ExtractionLimits.characters_for(len(data)), {}
    for one in images_of(path, data):
        row = json.dumps([one.name, one.caption, one.page, base64.b64encode(one.data).decode()]) + "\n"
        room -= len(row)
        if room < 0:
            metadata[PARTIAL] = f"images from {one.name} on: they are much larger than the file"
            break
        rows.append(row)
    return "".join(rows), (), metadata


def images_of(path: Path, data: bytes) -> Iterator[EmbeddedImage]:
    """The images of a pdf or html file, MOST at most, without those that cannot be extracted.

    Of html: `data:` URIs and files below the page's own folder. Raises Unreadable for a document that cannot be read.
    """
    found = _of_pdf(data) if path.suffix.lower() == ".pdf" else _of_html(path, data)
    for n, (one, caption, page) in zip(range(1, MOST + 1), found, strict=False):
        yield EmbeddedImage(f"picture-{n}", one, plain(caption)[:LONGEST_CAPTION], page)


def _of_html(path: Path, data: bytes) -> Iterator[tuple[bytes, str, None]]:
    """Alt text, then the caption of the figure around it."""
    root, _ = html_tree.parsed(data)
    for tag in root.iter("img"):
        source = str(tag.get("src") or "").strip()
        found = _data_uri(source) if source[:5].lower() == "data:" else _beside(path, source)
        if found:
            yield found, _html_caption(tag), None


def _html_caption(tag: HtmlElement) -> str:
    figure = next(tag.iterancestors("figure"), None)
    captions = [] if figure is None else figure.iter("figcaption")
    below = next((" ".join(caption.itertext()) for caption in captions), "")
    said = [" ".join(words.split()) for words in (str(tag.get("alt") or ""), str(tag.get("title") or ""), below)]
    return ". ".join(dict.fromkeys(words.rstrip(".") for words in said if words))


def _data_uri(uri: str) -> bytes:
    head, _, body = uri.partition(",")
    if not head.lower().startswith("data:image/"):
        return b""
    try:
        return base64.b64decode(unquote(body)) if head.lower().endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        return b""


def _beside(page: Path, source: str) -> bytes:
    """A file below the page's folder; a page from elsewhere must not read other files of this machine."""
    if not source or re.match(r"[a-z][a-z0-9+.-]*:|//", source, re.I):
        return b""
    try:
        folder = page.resolve().parent
        file = (folder / unquote(re.split(r"[?#]", source)[0])).resolve()
        return loaders.read_bytes(file) if file.is_relative_to(folder) and file.is_file() else b""
    except (MmgenError, OSError, ValueError):
        return b""


def _of_pdf(data: bytes) -> Iterator[tuple[bytes, str, int]]:
    """With the lines that begin like "Figure 3" as captions, where a page has one for each of its images."""
    try:
        pages = list(extractors.pdf_reader(data).pages)
    except Unreadable:
        raise
    except Exception as why:  # pypdf lets all kinds of errors out of damaged files
        raise extractors.damaged_pdf(why) from None
    for number, page in enumerate(pages, 1):
        found = list(_images(page))
        captions = _figures(page) if found else []
        for n, image in enumerate(found):
            yield image, captions[n] if len(captions) == len(found) else "", number


def _images(page: PageObject) -> Iterator[bytes]:
    """One by one, so that a damaged image is skipped alone."""
    from PIL import Image

    try:
        names: list[Any] = list(page.images.keys())
        objects = page["/Resources"]["/XObject"] if names else {}  # type: ignore[index]
    except Exception:
        return
    for name in names:
        try:
            head: Any = objects[name] if isinstance(name, str) and name in objects else {}
            width, height = int(head.get("/Width", LEAST)), int(head.get("/Height", LEAST))
            if min(width, height) >= LEAST and width * height <= (Image.MAX_IMAGE_PIXELS or width * height):
                yield page.images[name].data
        except Exception:
            continue


def _figures(page: PageObject) -> list[str]:
    try:
        return [str(line) for line in FIGURE.findall(page.extract_text() or "")]
    except Exception:
        return []
