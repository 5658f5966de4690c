"""txt2img: images from words."""

from __future__ import annotations

from mmgen.pipelines.image.image_pipeline import ImagePipeline


class Txt2Img(ImagePipeline):
    """Draw images from words."""

    task = "txt2img"
    required = ("prompt",)
    omitted = ("only_masked", "image", "mask", "strength", "image_guidance", "reference_image")
