"""variations: images that are like an image."""

from __future__ import annotations

from mmgen.clients.image_base import Order
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.pipelines.image import image_checks, image_io
from mmgen.pipelines.image.image_io import Given
from mmgen.pipelines.image.image_pipeline import ImageCallPlan, ImagePipeline, called, recalled


class Variations(ImagePipeline):
    """Draw images that are like an image: the same words, begun with it, under other seeds."""

    task = "variations"

    def asked(
        self,
        image: Given,
        *,
        prompt: str | None = None,
        strength: float = 0.7,
        n: int = 4,
        seed: int | None = None,
        steps: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
        preview_every: int = 0,
        request: Request | None = None,
    ) -> ImageCallPlan:
        """Draws `n` images like the given one.

        image: the image.
        prompt: what it shows; an image of mmgen's own tells it by its recipe.
        strength: how unlike: above 0 (hardly) to 1 (nothing of it is left).
        n: how many.
        seed: the same seed draws the same images; without one it is drawn by lot and reported.
        steps: how many steps the whole way has; the default is the model's, 20 for most.
        solver: ddpm, ddim, euler, euler-a, heun, dpm++2m, dpm++2m-karras, unipc or lcm.
        guidance: how closely to follow the prompt, 1 (not more than it must) to 15.
        preview_every: show the unfinished image after so many steps; 0: never.

        Raises as img2img, and BadRequest for an image without recipe and prompt.
        """
        opened = image_io.read(image)
        known = recalled(opened)
        if prompt is None and known is None:
            raise BadRequest("the image has no recipe that tells what it shows; say it with a prompt")
        options = image_checks.options(
            negative=known.negative if known else "",
            steps=steps,
            solver=solver,
            guidance=guidance,
            guidance_rescale=0.0,
            seed=seed,
            width=None,
            height=None,
            preview_every=preview_every,
            strength=strength,
        )
        words = prompt if prompt is not None else known.prompt if known else ""
        return ImageCallPlan(image_checks.prompts(words, None, n), Order(**options), n, seed, request, image)

    __call__ = called(asked)
