"""img2img: an image drawn anew, as words say."""

from __future__ import annotations

from typing import Any, ClassVar

from mmgen.pipelines.image.image_pipeline import ImagePipeline


class Img2Img(ImagePipeline):
    """Draw an image anew, as words say."""

    task = "img2img"
    required = ("image", "prompt")
    omitted = ("only_masked", "mask", "best_of", "image_guidance", "reference_image")
    defaults: ClassVar[dict[str, Any]] = {"strength": 0.6}
