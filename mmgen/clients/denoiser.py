"""Models with a UNet through the engine, step by step; see image_base.py.

Knows models, runners and jobs; not tasks, files or recipes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, registered
from mmgen.clients.image_base import ImageClient, ImageDone, LoraWeight, Order, Preview, Progress
from mmgen.engine.event_merge import EventMerge, JobEnded
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.models.diffusion.conditioning import Conditioning
    from mmgen.models.diffusion.denoiser import DenoiserModel
    from mmgen.models.diffusion.solver_table import SolverTable

STEPS, GUIDANCE, SOLVER = 20, 5.0, "dpm++2m"
"""What a UNet draws with unless the caller says otherwise ..."""
CONSISTENCY_STEPS = 4
"""... and one that was distilled for consistency sampling (LCM)."""


class DenoiserClient(ImageClient):
    """A UNet, step by step: orders of one size share its passes. Owns the runners `denoise:KEY` and `decode:KEY`."""

    def __init__(
        self, host: ModelHost, key: str, reference: str, folder: Path, loras: Sequence[LoraWeight], model: DenoiserModel
    ) -> None:
        from mmgen.models.diffusion.schedule import NoiseSchedule
        from mmgen.runners.denoise import DenoiseRunner
        from mmgen.runners.vae_decode import VAEDecodeRunner

        super().__init__(host, reference, folder, loras)
        self.model, self.size, self.conditional = model, model.size, model.conditional
        self.schedule = NoiseSchedule.from_config(model.scheduler_config)
        self.denoise, self.decode = f"denoise:{key}", f"decode:{key}"
        host.engine.add_runner(self.denoise, DenoiseRunner(model))
        host.engine.add_runner(self.decode, VAEDecodeRunner(model.images))

    def settled(self, order: Order) -> Order:
        consistency = self.model.scheduler_config.get("_class_name") == "LCMScheduler"
        solver = order.solver or ("lcm" if consistency else SOLVER)
        settled = replace(
            order,
            solver=solver,
            steps=(CONSISTENCY_STEPS if solver == "lcm" else STEPS) if order.steps is None else order.steps,
            guidance=(GUIDANCE if self.conditional else 1.0) if order.guidance is None else order.guidance,
            width=self.model.size if order.width is None else order.width,
            height=self.model.size if order.height is None else order.height,
        )
        assert settled.width is not None and settled.height is not None
        self.model.latent_shape(settled.width, settled.height)
        self._table(settled)
        return settled

    def fit(self, width: int, height: int) -> tuple[int, int]:
        grain = self.model.factor * 2 ** (self.model.levels - 1)
        scale = self.model.size / math.sqrt(width * height)

        return max(grain, grain * round(scale * width / grain)), max(grain, grain * round(scale * height / grain))

    def draw(self, orders: Sequence[Order], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        from mmgen.runners.denoise import DenoiseStep
        from mmgen.runners.denoise import LatentPreview as Latents

        engine, following, ended = self.host.engine, EventMerge(), False
        try:
            conditions, latents = self._conditions(orders), self._latents(orders)
            for number, order in enumerate(orders):
                job = Job(
                    self.denoise, self._payload(order, conditions, latents.get(id(order.image))), request, seed=order.seed
                )
                following.add((number, None), engine.submit(job))
            for (number, preview), event in following:
                if isinstance(event, DenoiseStep):
                    yield Progress(number, event.step, event.of)
                elif isinstance(event, Latents) and self.model.cheap:
                    yield Preview(number, event.step, event.of, self.model.decode(event.latents[None])[0])
                elif isinstance(event, Latents):
                    following.add((number, event), engine.submit(Job(self.decode, event.latents, request)))
                elif isinstance(event, JobEnded) and preview is not None and preview != "decode":
                    yield Preview(number, preview.step, preview.of, event.value)
                elif isinstance(event, JobEnded) and preview is None:
                    following.add((number, "decode"), engine.submit(Job(self.decode, event.value, request)))
                elif isinstance(event, JobEnded):
                    yield ImageDone(number, kept(orders[number], event.value))
            ended = True
        finally:
            if not ended:
                request.leave()

    def _conditions(self, orders: Sequence[Order]) -> dict[str, Conditioning]:
        """Of every prompt and negative prompt, embedded once."""
        texts = list(dict.fromkeys(text for order in orders for text in (order.prompt, order.negative)))
        return dict(zip(texts, self.host.engine.call_with(self.denoise, self.model.embed_prompts, texts), strict=True))

    def _latents(self, orders: Sequence[Order]) -> dict[int, Tensor]:
        """Of every image that orders begin with, by its `id`, encoded once."""
        images = {id(order.image): order.image for order in orders if order.image is not None}
        engine, encode = self.host.engine, self.model.encode
        return {key: engine.call_with(self.denoise, encode, image[None])[0].cpu() for key, image in images.items()}

    def _payload(self, order: Order, conditions: dict[str, Conditioning], latents: Tensor | None) -> Any:
        import torch.nn.functional as F

        from mmgen.runners.denoise import DenoiseRequest

        assert order.width is not None and order.height is not None and order.guidance is not None
        shape = self.model.latent_shape(order.width, order.height)[1:]
        return DenoiseRequest(
            condition=conditions[order.prompt],
            table=self._table(order),
            width=order.width,
            height=order.height,
            negative=conditions[order.negative] if self.conditional else None,
            guidance=order.guidance,
            guidance_rescale=order.guidance_rescale,
            start=None if order.strength == 1 else latents,
            known=None if order.mask is None else latents,
            mask=None if order.mask is None else F.adaptive_max_pool2d(order.mask, shape),  # (1, H, W) -> (1, h, w)
            preview_every=order.preview_every,
        )

    def _table(self, order: Order) -> SolverTable:
        from mmgen.models.diffusion.solvers import tabulate

        assert order.solver is not None and order.steps is not None
        return tabulate(self.schedule, order.solver, order.steps, strength=order.strength)


def load(host: ModelHost, key: str, reference: str, loras: Sequence[LoraWeight]) -> ImageClient:
    """The client of a model. `reference` may end with a precision, as in `FOLDER#bf16`; `key`: it with its LoRA files."""
    from mmgen.clients.diffusers_pipeline import DiffusersClient
    from mmgen.models.diffusion import lora
    from mmgen.models.diffusion.denoiser import DenoiserModel, handles
    from mmgen.runners.diffusers_pipeline import PipelineModel

    def prepare(model: Any) -> Any:
        if loras and isinstance(model, PipelineModel):
            raise BadRequest(f"{reference} runs through diffusers, where LoRA files are not loaded; take a model with a UNet")
        for one in loras:
            lora.apply(model, one.path, one.scale)
        if isinstance(model, DenoiserModel):
            model.pack()
        return model

    runners = [f"denoise:{key}", f"decode:{key}", f"pipeline:{key}"]
    loader = registered(host.registry.denoisers, lambda folder: "unet" if handles(folder) else "diffusers")
    opened = host.open("denoiser", reference, runners=runners, loader=loader, key=key, prepare=prepare)
    make = DiffusersClient if isinstance(opened.model, PipelineModel) else DenoiserClient
    return make(host, key, reference, opened.folder, loras, opened.model)


def kept(order: Order, pixels: Tensor) -> Tensor:
    """The image with the image's own pixels where the mask leaves them."""
    if order.mask is None or order.image is None:
        return pixels
    return order.mask * pixels + (1 - order.mask) * order.image
