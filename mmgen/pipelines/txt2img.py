"""txt2img: images from words."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.clients.image_base import Order
from mmgen.engine.job import Request
from mmgen.pipelines.image import image_checks
from mmgen.pipelines.image.image_pipeline import ImageCallPlan, ImagePipeline, called


class Txt2Img(ImagePipeline):
    """Draw images from words."""

    task = "txt2img"

    def asked(
        self,
        prompt: str | Sequence[str],
        *,
        negative: str = "",
        n: int = 1,
        best_of: int = 1,
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
        """Draws `n` images of every prompt.

        prompt: what to draw.
        negative: what not to draw.
        n: images a prompt; they take the seed and its successors.
        best_of: draws so many candidates for every image and keeps the one that an image encoder finds the best. They take
            the seed and its successors too: the first image's, then the second's; each image keeps its own.
        seed: the same seed draws the same image; without one it is drawn by lot and reported.
        steps: how many steps; the default is the model's, 20 for most.
        solver: ddpm, ddim, euler, euler-a, heun, dpm++2m, dpm++2m-karras, unipc or lcm.
        guidance: how closely to follow the prompt, 1 (not more than it must) to 15.
        guidance_rescale: 0 to 1: takes back the contrast that a high guidance adds.
        width, height: pixels; the default is the model's.
        style: a word for the style, such as flat.
        preview_every: show the unfinished image after so many steps; 0: never.

        Raises BadRequest for a value out of its range, NotFound for a model that is not here, BadWeights for a damaged one.
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
        )
        prompts = image_checks.prompts(prompt, style, n)
        image_checks.candidates(n * len(prompts), best_of)
        return ImageCallPlan(prompts, Order(**options), n, seed, request, best_of=best_of)

    __call__ = called(asked)
