"""inpaint: a part of an image drawn anew; every other pixel stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.clients.image_base import Order
from mmgen.engine.job import Request
from mmgen.pipelines.image import image_checks
from mmgen.pipelines.image.image_io import Given
from mmgen.pipelines.image.image_pipeline import ImageCallPlan, ImagePipeline, called


class Inpaint(ImagePipeline):
    """Draw a part of an image anew."""

    task = "inpaint"

    def asked(
        self,
        image: Given,
        mask: Given,
        prompt: str | Sequence[str],
        *,
        strength: float = 1.0,
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
        """Draws what is white in the mask, `n` times for every prompt.

        image: the image.
        mask: an image of the same size: white is drawn anew, black stays.
        prompt: what to draw.
        strength: how far from what is there: above 0 (hardly) to 1 (nothing of it is left).
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

        Raises as img2img, and BadRequest for a mask of another size or without white.
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
        return ImageCallPlan(image_checks.prompts(prompt, style, n), Order(**options), n, seed, request, image, mask)

    __call__ = called(asked)
