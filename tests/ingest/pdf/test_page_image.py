"""A page comes as an image from the worker process."""

import base64
import io
from functools import partial
from pathlib import Path

import pytest
from pdf_files import lines, pdf_of
from PIL import Image

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.pool import extract
from mmgen.ingest.pdf.page_image import IMAGE, page_image
from mmgen.ingest.pdf.render import MARKER


def test_an_image_of_a_page_with_a_mark() -> None:
    draw = partial(page_image, page=2, boxes=[(72, 70, 120, 86)], width=595)
    text, _, found, _ = extract(draw, Path("a.pdf"), pdf_of(lines("One"), lines("Two")))
    image = Image.open(io.BytesIO(base64.b64decode(found[IMAGE])))
    assert text == "" and image.format == "PNG" and image.size == (595, 842)
    assert image.getpixel((110, 78)) == MARKER and image.getpixel((300, 300)) == (255, 255, 255)


@pytest.mark.parametrize("page", [0, 2])
def test_a_page_that_is_not_there(page: int) -> None:
    with pytest.raises(Unreadable, match=f"has no page {page}; it has 1"):
        page_image(Path("a.pdf"), pdf_of(lines("One")), page=page)
