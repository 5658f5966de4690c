"""Diffusers' own pipelines through the engine: a whole image at a time. Part of the wiring; see image_base.py."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.clients.image_base import ImageClient, ImageDone
from mmgen.engine.event_merge import EventMerge, JobEnded
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest
from mmgen.image_events import Preview, Progress
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.prompts import syntax

if TYPE_CHECKING:
    from mmgen.clients.host import ModelHost
    from mmgen.runners.diffusers_pipeline import PipelineModel


class DiffusersClient(ImageClient):
    """Any other diffusers pipeline, an image at a time, from a prompt alone. Owns the runner `pipeline:KEY`."""

    def __init__(self, host: ModelHost, key: str, folder: Path, model: PipelineModel) -> None:
        from mmgen.runners.diffusers_pipeline import PipelineRunner

        super().__init__(host, key, folder)
        self.model, self.size, self.conditional = model, None, "prompt" in model.known
        self.kind = type(model.pipeline).__name__
        self.runner = f"pipeline:{key}"
        host.engine.add_runner(self.runner, PipelineRunner(model))

    def resolved(self, params: ImageParams) -> ImageParams:
        if self.loras or params.loras:
            raise BadRequest(
                f"{self.reference} runs through diffusers, where LoRA files are not loaded; take a model with a UNet"
            )
        if params.step_cache:
            raise BadRequest(f"{self.reference} runs through diffusers, where no steps are cached; leave step_cache out")
        if params.hires is not None:
            raise BadRequest(f"{self.reference} runs through diffusers, where there is no hires fix; leave it out")
        if params.embeddings:
            told = f"{self.reference} runs through diffusers, where embeddings are not loaded"
            raise BadRequest(f"{told}; leave {params.embeddings[0].name} out")
        if params.solver is not None:
            raise BadRequest(f"solver is {params.solver!r}, but {self.reference} is a {self.kind} with its own; leave it out")
        if params.controls:
            raise BadRequest(
                f"{self.reference} is a {self.kind}, which no control image reaches here; take a Stable Diffusion model"
            )
        if params.pixels is not None:
            raise BadRequest(f"{self.reference} is a {self.kind}, which draws from words alone here; take a model with a UNet")
        known = inspect.signature(self.model.pipeline.__call__).parameters
        standard = {name: known[name].default for name in ("num_inference_steps", "guidance_scale") if name in known}
        resolved = replace(
            params,
            steps=standard.get("num_inference_steps") if params.steps is None else params.steps,
            guidance=standard.get("guidance_scale") if params.guidance is None else params.guidance,
        )
        self.model.check(self._arguments(resolved))
        return resolved

    def check_prompt(self, prompt: str) -> None:
        """Brackets alone may be words; what only weights or windows can mean is refused."""
        if syntax.weighted(prompt):
            raise BadRequest(f"{self.reference} is a {self.kind}, where weights and BREAK are not read; write the words alone")

    def fit(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def draw(self, rows: Sequence[ImageParams], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        from mmgen.runners.diffusers_pipeline import PipelineRequest

        following, ended = EventMerge(), False
        try:
            for number, params in enumerate(rows):
                job = Job(self.runner, PipelineRequest(self._arguments(params), number), request, seed=params.seed)
                following.add(number, self.host.engine.submit(job))
            for number, event in following:
                if isinstance(event, JobEnded):
                    yield ImageDone(number, event.value[0])
                else:
                    yield event
            ended = True
        finally:
            if not ended:
                request.leave()

    def _arguments(self, params: ImageParams) -> dict[str, Any]:
        """As the pipeline calls them; what was left open is left to it."""
        given = {
            "prompt": params.prompt or None,
            "negative_prompt": params.negative or None,
            "num_inference_steps": params.steps,
            "guidance_scale": params.guidance,
            "guidance_rescale": params.guidance_rescale or None,
            "width": params.width,
            "height": params.height,
        }
        asked = {"use_resolution_binning": False, "clean_caption": False}  # PixArt, Sana: the size and words as they are
        return {name: value for name, value in given.items() if value is not None} | {
            name: value for name, value in asked.items() if name in self.model.known
        }
