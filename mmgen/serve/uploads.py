"""Validates uploads: size limits, bare file names, and image decoding."""

from __future__ import annotations

import re
from typing import Any

from PIL.Image import Image
from starlette.datastructures import UploadFile

from mmgen.errors import TooLarge
from mmgen.ingest import image_files
from mmgen.ingest.web import url_fetch
from mmgen.pipelines.language import content_parts
from mmgen.serve.settings import ServeConfig

LONGEST_NAME = 200


async def data_of(upload: UploadFile, most: int) -> bytes:
    """All of it. Raises TooLarge above `most` bytes."""
    data = await upload.read(most + 1)
    if len(data) > most:
        raise TooLarge(f"{name_of(upload)} is larger than the limit of {most / 2**20:.0f} MiB; make it smaller")
    return data


def name_of(upload: UploadFile, otherwise: str = "file") -> str:
    return bare(upload.filename or "") or otherwise


def bare(name: str) -> str:
    """The last part of a path of any system, as one printable line. It names things and opens nothing."""
    last = re.split(r"[/\\]", name)[-1].encode("utf-8", "ignore").decode()
    printable = "".join(letter if letter.isprintable() else " " for letter in last)
    return " ".join(printable.split())[:LONGEST_NAME].strip(".") or ""


def image(data: bytes, name: str = "the image") -> Image:
    """What the bytes show, whatever the file is called. Raises UnreadableFile and TooLarge as mmgen.ingest.image_files."""
    return image_files.decode(data, name, image_files.ENOUGH)


def opened(value: Any, settings: ServeConfig) -> Any:
    """A JSON value whose images of conversations, {"type": "image_url", "image_url": {"url": ...}} and the like, are opened.

    None of them can name a file of this machine; raises as `image_at`, and blocks.
    """
    if isinstance(value, list):
        return [opened(one, settings) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") in ("image", "image_url"):
        for key in content_parts.IMAGES:
            if (given := value.get(key)) is not None:
                url = given.get("url") if isinstance(given, dict) else given
                return {"type": "image", "image": image_at(str(url), settings)}
    return {key: opened(one, settings) for key, one in value.items()}


def image_at(url: str, settings: ServeConfig) -> Image:
    """The image at a URL; see mmgen.ingest.web.url_fetch. Blocks; call it in a thread."""
    return image(url_fetch.read(url, settings))
