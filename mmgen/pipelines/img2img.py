"""img2img: an image drawn anew, as words say."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.clients.image_base import Order
from mmgen.engine.job import Request
from mmgen.pipelines.image import image_checks
from mmgen.pipelines.image.image_io import Given
from mmgen.pipelines.image.image_pipeline import ImageCallPlan, ImagePipeline, called


class Img2Img(ImagePipeline):
    """Draw an image anew, as words say."""

    task = "img2img"

    def asked(
        self,
        image: Given,
        prompt: str | Sequence[str],
        *,
        strength: float = 0.6,
        negative: str = "",
        n: int = 1,
        seed: int | None = None,
        steps: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
        guidance_rescale: float = 0.0,
        width: int | None = None,
        height: int | None = None,
        style: str | None = None,
        preview_every: int = 0,
        request: Request | None = None,
    ) -> ImageCallPlan:
        """Draws `n` images of every prompt that begin with the given one.

        image: the image to begin with.
        prompt: what to draw.
        strength: how far from the image: above 0 (hardly) to 1 (nothing of it is left). Of the steps so many are done.
        negative: what not to draw.
        n: images a prompt; they take the seed and its successors.
        seed: the same seed draws the same image; without one it is drawn by lot and reported.
        steps: how many steps the whole way has; the default is the model's, 20 for most.
        solver: ddpm, ddim, euler, euler-a, heun, dpm++2m, dpm++2m-karras, unipc or lcm.
        guidance: how closely to follow the prompt, 1 (not more than it must) to 15.
        guidance_rescale: 0 to 1: takes back the contrast that a high guidance adds.
        width, height: pixels; the default suits the model and the image's ratio.
        style: a word for the style, such as flat.
        preview_every: show the unfinished image after so many steps; 0: never.

        Raises as txt2img, and UnreadableFile for what is no image.
        """
        options = image_checks.options(
            negative=negative,
            steps=steps,
            solver=solver,
            guidance=guidance,
            guidance_rescale=guidance_rescale,
            seed=seed,
            width=width,
            height=height,
            preview_every=preview_every,
            strength=strength,
        )
        return ImageCallPlan(image_checks.prompts(prompt, style, n), Order(**options), n, seed, request, image)

    __call__ = called(asked)
