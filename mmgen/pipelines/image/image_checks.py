"""What a call of an image pipeline can get wrong beyond the limits of its options. Knows no model's own limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest
from mmgen.image_params import MAX_IMAGES, ImageParams
from mmgen.pipelines.image import image_io

if TYPE_CHECKING:
    from PIL.Image import Image

BACKGROUND = re.compile(r" on an? [\w ]+ background\s*$")


def calls(asked: Sequence[ImageParams]) -> list[ImageParams]:
    """One for every prompt, with texts as the model reads them. Raises BadRequest for more images than one call may draw."""
    if not asked:
        raise BadRequest("there is no prompt; say what to draw")
    n, best_of = asked[0].n, asked[0].best_of
    images = n * len(asked)
    if images > MAX_IMAGES:
        raise BadRequest(f"{len(asked)} prompts with n {n} are {images} images; draw {MAX_IMAGES} at most at once")
    if images * best_of > MAX_IMAGES:
        raise BadRequest(
            f"{images} images with best_of {best_of} are {images * best_of} to draw; draw {MAX_IMAGES} at most at once"
        )
    return [worded(one) for one in asked]


def worded(params: ImageParams) -> ImageParams:
    """With stripped texts, and the style within the prompt."""
    return replace(params, prompt=styled(params.prompt.strip(), params.style), negative=params.negative.strip(), style=None)


def prompted(given: Sequence[str], model: str) -> None:
    """An empty prompt is for models that have no ears."""
    if not all(given):
        raise BadRequest(f'the prompt is empty; say {model} what to draw, such as "a red apple"')


def styled(prompt: str, style: str | None) -> str:
    """In the words of the embedded model's captions: "a cat in flat style on a blue background"."""
    if style is None:
        return prompt
    word = style.strip()
    if not word or len(word) > 40 or not word.isprintable():
        raise BadRequest(f"style is {style[:40]!r}; it can be a word or a few, such as flat")
    place = found.start() if (found := BACKGROUND.search(prompt)) else len(prompt)
    return f"{prompt[:place]} in {word} style{prompt[place:]}"


def mask(image: Image, source: Image | None) -> Image:
    """The mask in grey, if it goes with the image."""
    assert source is not None
    if image.size != source.size:
        theirs, ours = ("{} x {}".format(*size) for size in (image.size, source.size))
        raise BadRequest(f"the mask is {theirs} pixels, the image {ours}; make them the same size")
    grey = image_io.painted(image)
    if grey.getextrema()[1] == 0:
        raise BadRequest("the mask is black or transparent all over, so nothing would be drawn; paint white what to draw anew")
    return grey
