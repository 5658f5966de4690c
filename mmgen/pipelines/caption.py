"""caption: a vision-language model says in words what an image shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from mmgen import value_checks
from mmgen.clients import captioner
from mmgen.deprecated import attributes, keywords
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.ingest import image_files
from mmgen.pipelines.chat import Chat
from mmgen.pipelines.image import image_io
from mmgen.pipelines.language import content_parts
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@attributes(picture="image")
@dataclass(frozen=True)
class Caption:
    """What `caption` returns."""

    image: str  # its file's name; may be empty
    text: str
    model: str

    def __str__(self) -> str:
        return self.text


@keywords(picture="image")
def caption(
    rt: Runtime,
    image: str | Path | Image,
    *,
    model: str | None = None,
    prompt: str = "",
    max_tokens: int = 50,
    request: Request | None = None,
) -> Caption:
    """Say what an image shows, by a vision-language model.

    image: a file, or an opened image.
    model: such as Salesforce/blip-image-captioning-base: a folder or a repo id; none comes with mmgen.
    prompt: what to tell a model that is talked to; of others, how the caption begins.
    max_tokens: tokens to write at most.

    The words are the model's own and can be wrong; `tags` chooses among given ones. Raises BadRequest without a model.
    """
    if model is None:
        raise BadRequest(
            "no model that writes captions comes with mmgen; name one, such as Salesforce/blip-image-captioning-base, or take "
            "tags, which chooses words"
        )
    value_checks.length(prompt, "prompt")
    value_checks.number("max_tokens", max_tokens, 1, 4096)
    decoded = image_files.rgb(image_io.read(image))
    asked = captioner.question(model)
    write = _told if asked else _captioned
    return Caption(image_io.name_of(image), write(rt, decoded, model, prompt.strip() or asked, max_tokens, request), model)


def _captioned(rt: Runtime, image: Image, model: str, prompt: str, max_tokens: int, request: Request | None) -> str:
    return rt.captioner(model).write(image, prompt, max_tokens, request)


def _told(rt: Runtime, image: Image, model: str, prompt: str, max_tokens: int, request: Request | None) -> str:
    """By a model that is talked to: the likeliest answer, written beside other texts."""
    message = {"role": "user", "content": content_parts.with_images(prompt, [image])}
    params = TextParams(strategy="greedy", max_tokens=max_tokens)
    return " ".join(Chat(rt, model=model)([message], params=params, request=request).text.split())
