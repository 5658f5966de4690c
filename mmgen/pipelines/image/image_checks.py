"""What a caller of an image pipeline can get wrong, told before a model is loaded. Knows no model's own limits."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest, TooLong

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 5000  # characters of a prompt
MOST_IMAGES = 1000
MOST_STEPS = 1000
LARGEST = 8192  # pixels a side
LARGEST_SEED = 2**63 - 1
BACKGROUND = re.compile(r" on an? [\w ]+ background\s*$")


def prompts(given: str | Sequence[str], style: str | None, n: int) -> list[str]:
    """Stripped, with the style in the words of the embedded model's captions: "a cat in flat style on a blue background"."""
    found = [given] if isinstance(given, str) else list(given)
    if not found:
        raise BadRequest("there is no prompt; say what to draw")
    for prompt in found:
        length(prompt, "prompt")
    number("n", n, 1, MOST_IMAGES)
    if len(found) * n > MOST_IMAGES:
        raise BadRequest(f"{len(found)} prompts with n {n} are {len(found) * n} images; draw {MOST_IMAGES} at most at once")
    return [styled(prompt.strip(), style) for prompt in found]


def candidates(images: int, best_of: int) -> None:
    """Whether so many can be drawn to choose from."""
    number("best_of", best_of, 1, MOST_IMAGES)
    if images * best_of > MOST_IMAGES:
        raise BadRequest(
            f"{images} images with best_of {best_of} are {images * best_of} to draw; draw {MOST_IMAGES} at most at once"
        )


def prompted(given: Sequence[str], model: str) -> None:
    """An empty prompt is for models that have no ears."""
    if not all(given):
        raise BadRequest(f'the prompt is empty; say {model} what to draw, such as "a red apple"')


def length(text: str, what: str) -> None:
    if not isinstance(text, str):
        raise BadRequest(f"the {what} is {text!r}; it should be a text")
    if len(text) > LONGEST:
        raise TooLong(f"the {what} is {len(text):,} characters; {LONGEST:,} are read at most, shorten it")


def styled(prompt: str, style: str | None) -> str:
    if style is None:
        return prompt
    word = style.strip()
    if not word or len(word) > 40 or not word.isprintable():
        raise BadRequest(f"style is {style[:40]!r}; it can be a word or a few, such as flat")
    place = found.start() if (found := BACKGROUND.search(prompt)) else len(prompt)
    return f"{prompt[:place]} in {word} style{prompt[place:]}"


def options(
    *,
    negative: str,
    steps: int | None,
    solver: str | None,
    guidance: float | None,
    guidance_rescale: float,
    seed: int | None,
    width: int | None,
    height: int | None,
    preview_every: int,
    strength: float = 1.0,
) -> dict[str, Any]:
    """All but the seed, as an order takes them; BadRequest for a value out of its range."""
    length(negative, "negative prompt")
    number("steps", steps, 1, MOST_STEPS)
    number("guidance", guidance, 0, math.inf, "0 or more, usually 1 to 15")
    number("guidance_rescale", guidance_rescale, 0, 1)
    number("seed", seed, 0, LARGEST_SEED)
    number("width", width, 1, LARGEST, f"1 to {LARGEST} pixels")
    number("height", height, 1, LARGEST, f"1 to {LARGEST} pixels")
    number("preview_every", preview_every, 0, MOST_STEPS)
    if not 0 < strength <= 1:
        raise BadRequest(f"strength is {strength}; it can be above 0 (close to the image) to 1 (far from it)")
    if solver is not None:
        from mmgen.models.diffusion.solvers import check_name

        check_name(solver)
    return {
        "negative": negative.strip(),
        "steps": steps,
        "solver": solver,
        "guidance": guidance,
        "guidance_rescale": guidance_rescale,
        "width": width,
        "height": height,
        "preview_every": preview_every,
        "strength": strength,
    }


def number(name: str, value: float | None, least: float, most: float, said: str = "") -> None:
    """nan and infinity are out."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not (least <= value <= most and value < math.inf):
        raise BadRequest(f"{name} is {value}; it can be {said or f'{least} to {most}'}")


def mask(image: Image, source: Image | None) -> Image:
    """The mask in grey, if it goes with the image."""
    assert source is not None
    if image.size != source.size:
        theirs, ours = ("{} x {}".format(*size) for size in (image.size, source.size))
        raise BadRequest(f"the mask is {theirs} pixels, the image {ours}; make them the same size")
    grey = image.convert("L")
    if grey.getextrema()[1] == 0:
        raise BadRequest("the mask is black all over, so nothing would be drawn; paint white what to draw anew")
    return grey
