"""Qwen-Image-Edit: Qwen-Image with an image's tokens behind the noisy ones; the text encoder sees the image, too."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.qwen_image import QwenImage


class QwenImageEdit(QwenImage):
    edits = prompts_see = True

    def embed_seeing(self, prompt: str, pixels: Tensor) -> Conditioning:
        """A prompt read beside the image that it changes, (3, H, W) in [-1, 1]."""
        values = ((pixels + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
        image = self.seen(Image.fromarray(values))
        tokens, mask = self.pipeline.encode_prompt(prompt or " ", image=image, max_sequence_length=self.longest)
        return Conditioning(tokens[0] if mask is None else tokens[0][mask[0].bool()])

    def seen(self, image: Image.Image) -> Any:
        """As the text encoder is given it."""
        return image


class QwenImageEditPlus(QwenImageEdit):
    """Qwen-Image-Edit-2509 and its successors, with one image: numbered in the prompt, and seen in about 384 x 384 pixels."""

    def seen(self, image: Image.Image) -> Any:
        from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus

        width, height = plus.calculate_dimensions(plus.CONDITION_IMAGE_SIZE, image.width / image.height)
        return [self.pipeline.image_processor.resize(image, height, width)]
