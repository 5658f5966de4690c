"""Diffusers' own pipelines through the engine: a whole image at a time. Part of the wiring; see image_base.py."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.clients.image_base import ImageClient, ImageDone, LoraWeight, Order, Preview, Progress
from mmgen.engine.event_merge import EventMerge, JobEnded
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.clients.host import ModelHost
    from mmgen.runners.diffusers_pipeline import PipelineModel


class DiffusersClient(ImageClient):
    """Any other diffusers pipeline, an image at a time, from a prompt alone. Owns the runner `pipeline:KEY`."""

    def __init__(
        self, host: ModelHost, key: str, reference: str, folder: Path, loras: Sequence[LoraWeight], model: PipelineModel
    ) -> None:
        from mmgen.runners.diffusers_pipeline import PipelineRunner

        super().__init__(host, reference, folder, loras)
        self.model, self.size, self.conditional = model, None, "prompt" in model.known
        self.kind = type(model.pipeline).__name__
        self.runner = f"pipeline:{key}"
        host.engine.add_runner(self.runner, PipelineRunner(model))

    def settled(self, order: Order) -> Order:
        if order.solver is not None:
            raise BadRequest(f"solver is {order.solver!r}, but {self.reference} is a {self.kind} with its own; leave it out")
        if order.image is not None:
            raise BadRequest(f"{self.reference} is a {self.kind}, which draws from words alone here; take a model with a UNet")
        known = inspect.signature(self.model.pipeline.__call__).parameters
        standard = {name: known[name].default for name in ("num_inference_steps", "guidance_scale") if name in known}
        settled = replace(
            order,
            steps=standard.get("num_inference_steps") if order.steps is None else order.steps,
            guidance=standard.get("guidance_scale") if order.guidance is None else order.guidance,
        )
        self.model.check(self._arguments(settled))
        return settled

    def fit(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def draw(self, orders: Sequence[Order], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        from mmgen.runners.diffusers_pipeline import PipelineRequest

        following, ended = EventMerge(), False
        try:
            for number, order in enumerate(orders):
                job = Job(self.runner, PipelineRequest(self._arguments(order)), request, seed=order.seed)
                following.add(number, self.host.engine.submit(job))
            for number, event in following:
                if isinstance(event, JobEnded):
                    yield ImageDone(number, event.value[0])
                else:
                    yield Progress(number, event.step, event.of)
            ended = True
        finally:
            if not ended:
                request.leave()

    def _arguments(self, order: Order) -> dict[str, Any]:
        """As the pipeline calls them; what was left open is left to it."""
        given = {
            "prompt": order.prompt or None,
            "negative_prompt": order.negative or None,
            "num_inference_steps": order.steps,
            "guidance_scale": order.guidance,
            "guidance_rescale": order.guidance_rescale or None,
            "width": order.width,
            "height": order.height,
        }
        asked = {"use_resolution_binning": False, "clean_caption": False}  # PixArt, Sana: the size and words as they are
        return {name: value for name, value in given.items() if value is not None} | {
            name: value for name, value in asked.items() if name in self.model.known
        }
