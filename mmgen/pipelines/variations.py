"""variations: images that are like an image."""

from __future__ import annotations

from typing import Any, ClassVar

from mmgen.errors import BadRequest
from mmgen.pipelines.image import image_io
from mmgen.pipelines.image.image_pipeline import ImagePipeline, recalled


class Variations(ImagePipeline):
    """Draw images that are like an image: the same words, begun with it, under other seeds."""

    task = "variations"
    required = ("image",)
    omitted = (
        "mask",
        "only_masked",
        "negative",
        "best_of",
        "guidance_rescale",
        "width",
        "height",
        "style",
        "x",
        "y",
        "image_guidance",
        "reference_image",
    )
    defaults: ClassVar[dict[str, Any]] = {"prompt": None, "strength": 0.7, "n": 4}
    helps: ClassVar[dict[str, str]] = {
        "image": "the image.",
        "prompt": "what it shows; an image of mmgen's own tells it by its recipe.",
        "strength": "how unlike: above 0 (hardly) to 1 (nothing of it is left).",
        "n": "how many.",
        "seed": "the same seed draws the same images; without one or with -1, it is drawn at random and reported.",
    }

    def completed(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the image's recipe says stands in for what the caller did not. Raises BadRequest without recipe and prompt."""
        known = recalled(image_io.read(given["image"]))
        if given["prompt"] is None and known is None:
            raise BadRequest("the image has no recipe that tells what it shows; say it with a prompt")
        recipe = {} if known is None else {"negative": known.negative, "prompt": known.prompt}
        return {**recipe, **{name: value for name, value in given.items() if value is not None}}
