"""Qwen-Image-Edit: Qwen-Image with an image's tokens behind the noisy ones; the text encoder sees the image, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.qwen_image import QwenImage


class QwenImageEdit(QwenImage):
    edits = prompts_see = True

    def embed_seeing(self, prompt: str, images: Sequence[Tensor]) -> Conditioning:
        """A prompt read beside the images, (3, H, W) in [-1, 1]."""
        values = [((one + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy() for one in images]
        seen = self.seen([Image.fromarray(one) for one in values])
        tokens, mask = self.pipeline.encode_prompt(prompt or " ", image=seen, max_sequence_length=self.longest)
        return Conditioning(tokens[0] if mask is None else tokens[0][mask[0].bool()])

    def seen(self, images: Sequence[Image.Image]) -> Any:
        """As the text encoder is given them."""
        (image,) = images
        return image


class QwenImageEditPlus(QwenImageEdit):
    """Qwen-Image-Edit-2509 and its successors: images are numbered in the prompt, and seen in about 384 x 384 pixels."""

    references = True

    def seen(self, images: Sequence[Image.Image]) -> Any:
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus

        sizes = [plus.calculate_dimensions(plus.CONDITION_IMAGE_SIZE, one.width / one.height) for one in images]
        resize = self.pipeline.image_processor.resize
        return [resize(one, height, width) for one, (width, height) in zip(images, sizes, strict=True)]

    def reference_size(self, width: int, height: int, area: int) -> tuple[int, int]:
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus

        found = plus.calculate_dimensions(area, width / height)
        return max(32, found[0]), max(32, found[1])
