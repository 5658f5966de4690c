"""txt2img: images from words."""

from __future__ import annotations

from mmgen.pipelines.image.image_pipeline import ImagePipeline


class Txt2Img(ImagePipeline):
    """Draw images from words."""

    task = "txt2img"
    required = ("prompt",)
    omitted = ("image", "mask", "strength", "image_guidance")
