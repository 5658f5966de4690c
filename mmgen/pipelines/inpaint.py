"""inpaint: a part of an image drawn anew; every other pixel stays as it is."""

from __future__ import annotations

from typing import ClassVar

from mmgen.pipelines.image.image_pipeline import ImagePipeline


class Inpaint(ImagePipeline):
    """Draw a part of an image anew."""

    task = "inpaint"
    required = ("image", "mask", "prompt")
    omitted = ("best_of", "image_guidance", "reference_image")
    helps: ClassVar[dict[str, str]] = {
        "image": "the image.",
        "strength": "how far from what is there: above 0 (hardly) to 1 (nothing of it is left).",
    }
