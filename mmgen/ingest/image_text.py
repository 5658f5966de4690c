"""Image files as documents: the text in a photograph or screenshot, recognised. Asked for, as most images hold none."""

from __future__ import annotations

from pathlib import Path

from mmgen.errors import MmgenError
from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction import progress
from mmgen.ingest.extraction.limits import Extraction
from mmgen.ingest.image_files import SUFFIXES, decode, rgb
from mmgen.ingest.pdf.document import Frame
from mmgen.ingest.pdf.flow import flow
from mmgen.ingest.pdf.pages_text import PagesText
from mmgen.ingest.pdf.recognition import EXTRA, UNSURE, is_installed, lines_of_image, words_of_line
from mmgen.ingest.pdf.words import PageWords
from mmgen.ingest.records import PARTIAL
from mmgen.interfaces import Loader

PATTERNS = ["*." + "".join(f"[{c}{c.upper()}]" for c in suffix) for suffix in SUFFIXES]
"""Names of image files, for `mmgen.ingest.file_discovery.files`."""


def image_text(path: Path, data: bytes) -> Extraction:
    """The text that the recogniser reads in an image, as one page of its pixels: boxes count these, not points.

    Raises Unreadable: no image, no text in it, or no recogniser.
    """
    if not is_installed():
        raise Unreadable(f"is a picture; {EXTRA} reads it")
    try:
        image = rgb(decode(data, ""))
    except MmgenError as why:
        raise Unreadable(str(why).strip()) from None
    width, height = image.size
    page = PageWords(1, Frame(width, height, 0, 0, width, height, 0))
    found = lines_of_image(image, lambda: progress.tell(0, 1))
    sure = [line for line in found if line.confidence >= UNSURE]
    page.words = [word for line in sure for word in words_of_line(line, 1.0, page.frame)]
    if not page.words:
        raise Unreadable("is a picture in which no text was found")
    text = PagesText()
    text.take(page, flow(page)[0])
    written, starts, layouts = text.written()
    told = {PARTIAL: f"{len(found) - len(sure)} unclear lines"} if len(sure) < len(found) else {}
    return written, starts, {"recognized_pages": "page 1", **told}, layouts


def loaders() -> dict[str, Loader]:
    """By suffix, as `mmgen.ingest.loaders.load` takes more loaders."""
    return dict.fromkeys(SUFFIXES, image_text)
