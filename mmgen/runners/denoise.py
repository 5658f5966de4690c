"""A denoiser taking turns: one step for every job in one forward pass. Knows steps and rows; not prompts, files or pipelines.

Jobs of one image size share the pass whatever their step, solver, step count, guidance or seed. A guided job puts a second
row, its unconditional one, into the same pass. All that is random comes from the job's own generator, drawn on the CPU in the
order of its own steps, so that a seed gives the same image alone and in any company.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.errors import BadRequest, out_of_memory
from mmgen.image_events import CachedSteps, Preview, Progress
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.adapters.adapter import ScaledAdapters
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.control.row_control import RowControl
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.solver_table import HISTORY, SolverTable, fused_update, stack
from mmgen.runners.preemption_hooks import Pause, pause_between
from mmgen.runners.roofline import milliseconds
from mmgen.runners.step_cache import StepCache

if TYPE_CHECKING:
    from mmgen.models.diffusion.dit.model import DiTModel

FIRST_BLOCK = 0.1
"""What a step costs of which only the first block is computed, in steps, about."""
WORKING = 8
"""States that the update of one row holds at once, besides what the job keeps."""


@dataclass(frozen=True, eq=False)
class DenoiseRequest:
    """A job's payload; its result is the latents of one image, (C, h, w), on the CPU."""

    params: ImageParams  # the caller's, resolved
    condition: Conditioning  # of params.prompt
    table: SolverTable  # mmgen.models.diffusion.solvers.tabulate
    negative: Conditioning | None = None  # of params.negative; None, or a guidance of at most 1: the job takes one row
    start: Tensor | None = None  # (C, h, w): img2img begins with this, noised to the table's first level; None: with noise
    known: Tensor | None = None  # (C, h, w): what stays as it is where `mask` is 0
    mask: Tensor | None = None  # (1, h, w) in [0, 1]: 1 is drawn anew
    adapters: ScaledAdapters = ()  # its LoRA files, with their scales
    controls: Sequence[RowControl] = ()  # what else controls it
    reference: Tensor | None = None  # what the network is told of an image besides, see its `reference`
    image: int = 0  # its place among the call's images, for Progress and Preview
    before: int = 0  # steps of the same image that were done by another job
    total: int = 0  # steps of the image; 0: the table's
    decode: Callable[[Tensor], Tensor] | None = None  # latents -> (3, H, W) in [-1, 1], for Preview

    @property
    def guidance(self) -> float:
        return 1.0 if self.params.guidance is None else self.params.guidance

    @property
    def image_guidance(self) -> float:
        return 1.0 if self.params.image_guidance is None else self.params.image_guidance


@dataclass(eq=False)
class DenoiseState:
    """A job's state here."""

    x: Tensor  # (C, h, w)
    history: Tensor  # (HISTORY, C, h, w)
    generator: torch.Generator
    noise: Tensor | None  # that the image began with; kept for inpainting only
    cache: StepCache | None = None  # where steps may be left out
    row: int = 0  # of the table, next


class DenoiseRunner:
    """One model. Every job in a quantum advances by one row of its table."""

    kind, work, unit = "latents", "image", "steps"

    def __init__(self, denoiser: DenoiserModel | DiTModel) -> None:
        self.denoiser = denoiser
        self.parameters = denoiser.weight_bytes // denoiser.dtype.itemsize
        self._pause: Pause | None = None

    def pause_with(self, pause: Pause) -> None:
        self._pause = pause
        pause_between([self.denoiser.network], pause)

    def add_networks(self, modules: Sequence[torch.nn.Module]) -> None:
        """Networks that take part in the steps from now on; they have preemption points, too."""
        if self._pause is not None:
            pause_between(modules, self._pause)

    def key(self, job: Job) -> Hashable:
        request: DenoiseRequest = job.payload
        return self.denoiser.latent_shape(*request.params.size), request.condition.kind

    def estimate(self, job: Job) -> Estimate:
        """Each weight is used in so many places."""
        request: DenoiseRequest = job.payload
        _, height, width = self.denoiser.latent_shape(*request.params.size)
        used = self.parameters * self._rows(request) * self.denoiser.places(height, width)
        return Estimate(len(request.table), milliseconds(used, self.parameters, self.denoiser.device))

    def reserve(self, job: Job) -> int:
        """Bytes of the job's rows at the peak of a step and of what it keeps. Raises BadRequest for what cannot be drawn."""
        request: DenoiseRequest = job.payload
        shape = self.denoiser.latent_shape(*request.params.size)
        _check(request, shape)
        states = 1 + HISTORY + WORKING + sum(one is not None for one in (request.start, request.known, request.mask))
        rows = self._rows(request)
        told = request.condition.bytes * rows + sum(one.prepared.bytes for one in request.controls)
        passes, further = rows * (1 + len(request.controls)), self.denoiser.reference_bytes(request.condition)
        return 4 * math.prod(shape) * states + passes * (self.denoiser.step_bytes(*shape[1:]) + further) + told

    def release(self, job: Job) -> None:
        job.state = None

    @torch.inference_mode()
    def step(self, jobs: Sequence[Job]) -> None:
        self._advance([job for job in jobs if self._begin(job)])

    def _begin(self, job: Job) -> bool:
        if job.state is None:
            try:
                job.state = self._first(job)
            except Exception as error:
                job.fail(error)
        return job.ended is None

    def _first(self, job: Job) -> DenoiseState:
        request: DenoiseRequest = job.payload
        generator = generator_of(job)
        shape, device = self.denoiser.latent_shape(*request.params.size), self.denoiser.device
        noise = torch.randn(shape, generator=generator).to(device)
        if request.start is None:
            x = request.table.first(noise)
        else:
            x = request.table.noised(request.start.to(device, torch.float32), noise)
        history = torch.zeros(HISTORY, *shape, device=device)
        cache = StepCache(request.params.step_cache) if request.params.step_cache else None
        return DenoiseState(x, history, generator, noise if request.mask is not None else None, cache)

    def _guided(self, request: DenoiseRequest) -> bool:
        return request.negative is not None and request.guidance > 1 and not self.denoiser.guidance_embedded

    def _blind(self, request: DenoiseRequest) -> bool:
        """A third row is told neither the prompt nor the image."""
        return self._guided(request) and request.image_guidance != 1

    def _rows(self, request: DenoiseRequest) -> int:
        return 1 + self._guided(request) + self._blind(request)

    def _advance(self, jobs: Sequence[Job]) -> None:
        """All of them by one step; if the pass fails, each alone, so that the bad job fails alone."""
        if not jobs:
            return
        try:
            outputs = self._cached(jobs)
        except Exception as error:
            if out_of_memory(error):  # the engine makes room, or smaller batches
                raise
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            for job in jobs:  # a pass changes nothing, so it can be tried again
                self._advance([job])
            return
        self._update(jobs, outputs)

    def _cached(self, jobs: Sequence[Job]) -> Tensor:
        """Of every job: computed, or for those with a step cache the one that was computed before."""
        residuals = {n: self._residual(job) for n, job in enumerate(jobs) if job.state.cache is not None}
        last = [job.state.row + 1 == len(job.payload.table) for job in jobs]
        again = {n for n, residual in residuals.items() if jobs[n].state.cache.fits(residual, last[n])}
        fresh = [n for n in range(len(jobs)) if n not in again]
        computed = self._evaluate([jobs[n] for n in fresh]) if fresh else None
        outputs: list[Tensor] = [torch.empty(0)] * len(jobs)
        for place, n in enumerate(fresh):
            assert computed is not None
            outputs[n] = computed[place]
            if n in residuals:
                jobs[n].state.cache.keep(residuals[n], outputs[n])
        for n in again:
            outputs[n], jobs[n].units = jobs[n].state.cache.use(), FIRST_BLOCK
        return torch.stack(outputs)

    def _residual(self, job: Job) -> Tensor:
        """What the first block adds in the job's next step, without the unconditional rows."""
        request = job.payload
        scale = torch.tensor([request.guidance]) if self.denoiser.guidance_embedded else None
        timesteps = request.table.timesteps[job.state.row : job.state.row + 1]
        adapters = [request.adapters] if request.adapters else ()
        return self.denoiser.first_residuals(job.state.x[None], timesteps, [request.condition], scale, adapters)[0]

    def _evaluate(self, jobs: Sequence[Job]) -> Tensor:
        """The one forward pass -> (B, C, h, w), guidance applied."""
        requests = [job.payload for job in jobs]
        guided = [n for n, request in enumerate(requests) if self._guided(request)]
        blind = [n for n, request in enumerate(requests) if self._blind(request)]
        twice = [*guided, *blind]
        x = torch.stack([job.state.x for job in jobs])
        timesteps = torch.stack([request.table.timesteps[job.state.row] for job, request in zip(jobs, requests, strict=True)])
        scale = torch.tensor([request.guidance for request in requests])
        adapters = [request.adapters for request in requests] + [requests[n].adapters for n in twice]
        acting = [_acting(job) for job in jobs]
        controls = [*acting, *([replace(one, unconditional=True) for one in acting[n]] for n in twice)]
        more: dict[str, Any] = {"controls": controls} if any(acting) else {}
        if any(request.reference is not None for request in requests):
            seen = [requests[n].reference for n in (*range(len(requests)), *guided)]
            more["references"] = [*seen, *(torch.zeros_like(requests[n].reference) for n in blind)]
        for job in jobs:
            job.units = self._rows(job.payload)
        outputs = self.denoiser.predict(
            torch.cat([x, x[twice]]),
            torch.cat([timesteps, timesteps[twice]]),
            [request.condition for request in requests] + [requests[n].negative for n in twice],
            scale if self.denoiser.guidance_embedded else None,
            adapters if any(adapters) else (),
            **more,
        )
        if not guided:
            return outputs
        rescale = torch.tensor([request.params.guidance_rescale for request in requests])
        both = len(jobs) + len(guided)
        mixed = self.denoiser.guide(outputs[:both], torch.tensor(guided, device=outputs.device), scale, rescale)
        for row, n in enumerate(blind, both):  # Brooks et al. 2023, eq. 3, whose part of the prompt is done
            seeing = outputs[len(jobs) + guided.index(n)]
            mixed[n] += (requests[n].image_guidance - 1) * (seeing - outputs[row])
        return mixed

    def _update(self, jobs: Sequence[Job], outputs: Tensor) -> None:
        device = self.denoiser.device
        rows = stack([(job.payload.table, job.state.row) for job in jobs], device)
        x, history, x0 = fused_update(
            torch.stack([job.state.x for job in jobs]),
            outputs,
            torch.stack([job.state.history for job in jobs]),
            torch.stack([_noise(job) for job in jobs]).to(device),
            rows,
        )
        finite = torch.isfinite(x).flatten(1).all(1).tolist()
        for n, job in enumerate(jobs):
            if finite[n]:
                self._settle(job, x[n], history[n], x0[n])
            else:
                done, of = job.state.row + 1, len(job.payload.table)
                job.fail(
                    BadRequest(
                        f"the image is not a number any more after step {done} of {of} with guidance "
                        f"{job.payload.guidance:g}; lower the guidance or take another solver"
                    )
                )

    def _settle(self, job: Job, x: Tensor, history: Tensor, x0: Tensor) -> None:
        """A job takes over its row of the batch, tells of it, and ends with its last one."""
        request, drawing = job.payload, job.state
        drawing.row += 1
        done, of = drawing.row, len(request.table)
        drawing.x, drawing.history = self._keep_known(request, drawing, x), history
        said, total = request.before + done, request.total or of
        job.emit(Progress(request.image, said, total))
        if done == of and (cache := drawing.cache) is not None:
            job.emit(CachedSteps(request.image, cache.reused, of, cache.error))
        if done == of:
            job.finish(drawing.x.cpu())
        elif (every := request.params.preview_every) and done % every == 0:
            job.emit(Preview(request.image, said, total, x0.cpu(), request.decode))

    def _keep_known(self, request: DenoiseRequest, drawing: DenoiseState, x: Tensor) -> Tensor:
        """Inpainting: outside the mask stands the given image, noised to the level just reached.

        RePaint (Lugmayr et al. 2022), eq. 8, with one noise for all levels and without resampling, as diffusers does.
        """
        if request.mask is None:
            return x
        assert request.known is not None and drawing.noise is not None
        known = request.table.noised(request.known.to(x), drawing.noise, drawing.row)
        mask = request.mask.to(x)
        return mask * x + (1 - mask) * known


def generator_of(job: Job) -> torch.Generator:
    """The job's own source of random numbers, on the CPU. Raises BadRequest for a seed that torch does not take."""
    assert job.seed is not None
    if not 0 <= job.seed < 2**63:
        raise BadRequest(f"seed is {job.seed}; use 0 to {2**63 - 1}")
    return torch.Generator().manual_seed(job.seed)


def _acting(job: Job) -> list[RowControl]:
    """What controls this step."""
    request: DenoiseRequest = job.payload
    return [one for one in request.controls if one.acts(job.state.row, len(request.table))]


def _noise(job: Job) -> Tensor:
    """What this step draws; zeros where it draws none."""
    drawing: DenoiseState = job.state
    if job.payload.table.draws(drawing.row):
        return torch.randn(drawing.x.shape, generator=drawing.generator)
    return torch.zeros(drawing.x.shape)


def _check(request: DenoiseRequest, shape: tuple[int, int, int]) -> None:
    if request.negative is not None and request.negative.kind != request.condition.kind:
        raise BadRequest("the negative prompt is embedded by another model than the prompt; embed both with this one")
    if (request.mask is None) != (request.known is None):
        raise BadRequest("a mask goes with the latents to keep; give both or none")
    for name, tensor, wanted in (
        ("start", request.start, shape),
        ("known", request.known, shape),
        ("mask", request.mask, (1, *shape[1:])),
    ):
        if tensor is not None and tuple(tensor.shape) != wanted:
            raise BadRequest(f"{name} is of shape {tuple(tensor.shape)}, the image's is {wanted}; resize it first")
