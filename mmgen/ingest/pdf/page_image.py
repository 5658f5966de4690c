"""A page as a PNG or WebP with places marked; runs in the worker process, as extractors do."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmgen.ingest.charset import Unreadable
from mmgen.ingest.extraction.limits import Extracted
from mmgen.ingest.pdf.document import opened, page_of
from mmgen.ingest.pdf.render import drawn, marked

IMAGE = "image"
"""Metadata: the image, in base64."""


def page_image(
    path: Path, data: bytes, page: int = 1, boxes: Sequence[Any] = (), width: int = 1000, format: str = "PNG"
) -> Extracted:
    """No text, but the image as the metadata IMAGE.

    Args:
        path: unused, as all loaders take it.
        data: the file.
        page: from 1.
        boxes: left, top, right, bottom in points, each a place to mark.
        width: pixels, fewer where the page would be larger than a page may be drawn.
        format: Pillow's name of one.

    Raises:
        Unreadable: no such page, or a file or page that cannot be drawn.
    """
    with opened(data) as document:
        if not 1 <= page <= len(document):
            raise Unreadable(f"has no page {page}; it has {len(document)}")
        with page_of(document, page) as one:
            points = one.get_width()
            image = drawn(document, one, width / max(points, 1.0))
    marked(image, [tuple(box) for box in boxes], points).save(buffer := io.BytesIO(), format)
    return "", (), {IMAGE: base64.b64encode(buffer.getvalue()).decode()}
