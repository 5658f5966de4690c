"""A message's content as text and images: OpenAI's parts and those of transformers, read into opened RGB images."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES = ("image", "path", "url", "image_url")
"""Under which keys a part may hold its image."""
HINT = '{"type": "text", "text": ...} or {"type": "image", "image": ...}'


def read(content: Any, role: str = "user") -> Any:
    """A text, or parts {"type": "text", "text": ...} and {"type": "image", "image": RGB}; parts without an image are joined.

    Raises BadRequest for a part that is none, or an image that is not a user's; UnreadableFile, NotFound and TooLarge as of
    `image_io.read`.
    """
    if isinstance(content, str):
        return content
    parts = [_part(one) for one in content]
    if not images(parts):
        return text(parts)
    if role != "user":
        raise BadRequest(f"an image stands in a message of the role {role}; give it in one of the user's")
    return parts


def images(content: Any) -> list[Image]:
    return [] if isinstance(content, str) else [part["image"] for part in content if part["type"] == "image"]


def text(content: Any) -> str:
    """Its text alone, a part a line."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content if part["type"] == "text")


def with_images(message: str, given: Sequence[Any]) -> Any:
    """A user's message about images, which stand before it."""
    return [*({"type": "image", "image": one} for one in given), {"type": "text", "text": message}] if given else message


def _part(one: Any) -> dict[str, Any]:
    kind = one.get("type") if isinstance(one, Mapping) else None
    if kind == "text" and isinstance(one.get("text"), str):
        return {"type": "text", "text": one["text"]}
    if kind in ("image", "image_url"):
        for key in IMAGES:
            if (given := one.get(key)) is not None:
                return {"type": "image", "image": _opened(given["url"] if isinstance(given, Mapping) else given)}
    raise BadRequest(f"{str(one)[:100]!r} is no part of a message; give {HINT}")


def _opened(given: Any) -> Image:
    """RGB. What opens images is imported here: most messages have none."""
    from PIL.Image import Image

    from mmgen.ingest import image_files
    from mmgen.pipelines.image import image_io

    if isinstance(given, str) and given[:5].lower() == "data:":
        try:
            decoded = image_files.decode(base64.b64decode(given.partition(",")[2], validate=True), "the image")
            return image_files.rgb(decoded)
        except binascii.Error:
            raise BadRequest("the image's data: URL holds no base64; encode the file's bytes anew") from None
    if isinstance(given, str) and given.lower().startswith(("http://", "https://")):
        raise BadRequest(f"{given[:100]!r} is not fetched; give the file itself, or as a data: URL")
    if not isinstance(given, str | Path | Image):
        raise BadRequest(f"an image is a {type(given).__name__}; give a file, an opened image, or a data: URL")
    return image_files.rgb(image_io.read(given))
