"""Any other diffusers pipeline (SD3, Flux, PixArt, ...), run by the library's own loop: one request a quantum.

Other work waits until a request is done, but for answers that are streamed. Knows what such a pipeline can be told; not how it
draws or what memory it takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.engine.job import Job
from mmgen.errors import BadRequest, nearest
from mmgen.image_events import Progress
from mmgen.models.diffusion import pipeline_files
from mmgen.runners.denoise import generator_of
from mmgen.runners.exclusive import ExclusiveRunner, check
from mmgen.runners.preemption_hooks import Pause, pause_between


@dataclass(frozen=True, eq=False)
class PipelineRequest:
    """A job's payload: arguments as the pipeline's `__call__` names them. Its result: images (3, H, W) in [-1, 1], a list."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    image: int = 0  # its place among the call's images


class PipelineModel:
    """A whole diffusers pipeline on one device."""

    def __init__(self, pipeline: Any, name: str = "") -> None:
        self.pipeline, self.name = pipeline, name
        pipeline.set_progress_bar_config(disable=True)
        self.known = [name for name in inspect.signature(pipeline.__call__).parameters if name != "kwargs"]

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> PipelineModel:
        """From a folder with model_index.json; see `pipeline_files.load`."""
        return cls(pipeline_files.load(folder, device, precision), name or folder.name)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """BadRequest for an argument that this pipeline does not take."""
        for argument in arguments:
            if argument not in self.known:
                kind = type(self.pipeline).__name__
                raise BadRequest(f"{kind} takes no {argument!r}{nearest(argument, self.known)}; leave it out")

    def draw(self, arguments: Mapping[str, Any], generator: torch.Generator, tell: Callable[[int, int], None]) -> list[Tensor]:
        """Runs the whole loop; `tell(step, of)` after each step may raise to end it."""
        out = self.pipeline(**arguments, **self._callback(tell), generator=generator, output_type="np")
        return [2 * torch.from_numpy(image).permute(2, 0, 1).float() - 1 for image in out.images]  # (H, W, 3) in [0, 1]

    def _callback(self, tell: Callable[[int, int], None]) -> dict[str, Any]:
        """The way in which this pipeline tells of its steps, or none: then a request runs to its end in silence."""

        def at_step_end(pipeline: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            tell(step + 1, len(pipeline.scheduler.timesteps))
            return values

        def before_that(step: int, timestep: Any, latents: Tensor) -> None:
            tell(step + 1, len(self.pipeline.scheduler.timesteps))

        if "callback_on_step_end" in self.known:
            return {"callback_on_step_end": at_step_end}
        return {"callback": before_that, "callback_steps": 1} if "callback" in self.known else {}


class PipelineRunner(ExclusiveRunner):
    """A cancelled or late request ends at its next step."""

    work = "image"

    def __init__(self, model: PipelineModel) -> None:
        self.model = model

    def pause_with(self, pause: Pause) -> None:
        pause_between((part for part in self.model.pipeline.components.values() if isinstance(part, torch.nn.Module)), pause)

    def reserve(self, job: Job) -> int:
        self.model.check(job.payload.arguments)
        return 0

    def serve(self, job: Job) -> Any:
        return self.model.draw(job.payload.arguments, generator_of(job), partial(_tell, job))


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> PipelineModel:
    """The registry's loader for every other diffusers pipeline."""
    return PipelineModel.load(folder, device, name, precision)


def _tell(job: Job, step: int, of: int) -> None:
    check(job, f"at step {step} of {of}")
    job.emit(Progress(job.payload.image, step, of))
