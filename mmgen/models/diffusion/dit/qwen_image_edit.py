"""Qwen-Image-Edit: Qwen-Image with an image's tokens behind the noisy ones; the text encoder sees the image, too."""

from __future__ import annotations

from PIL import Image
from torch import Tensor

from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.qwen_image import QwenImage


class QwenImageEdit(QwenImage):
    edits = prompts_see = True

    def embed_seeing(self, prompt: str, pixels: Tensor) -> Conditioning:
        """A prompt read beside the image that it changes, (3, H, W) in [-1, 1]."""
        values = ((pixels + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
        tokens, mask = self.pipeline.encode_prompt(
            prompt or " ", image=Image.fromarray(values), max_sequence_length=self.longest
        )  # fmt: skip
        return Conditioning(tokens[0] if mask is None else tokens[0][mask[0].bool()])
