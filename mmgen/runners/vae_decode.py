"""Latents to images, a tile a turn. Knows tiles and who waits for them; not how the latents came about."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.errors import BadRequest, out_of_memory
from mmgen.models.diffusion.autoencoder import Autoencoder, TiledDecode, tile_size
from mmgen.runners.preemption_hooks import Pause, pause_between

UNDECODED = (
    "the autoencoder makes numbers that are none of this image; take a higher precision, such as MODEL#fp32, or another VAE"
)


class VAEDecodeRunner:
    """A job's payload is latents, (C, h, w); its result is the image, (3, H, W) in [-1, 1], on the CPU.

    A large image takes several quanta, one tile each. A quantum decodes at most `budget` pixels, or one tile: jobs that do
    not fit wait for their next turn and are charged nothing.
    """

    kind, work = "decode", "image"

    def __init__(self, autoencoder: Autoencoder, budget: int = 512 * 512) -> None:
        self.autoencoder, self.budget = autoencoder, budget

    def pause_with(self, pause: Pause) -> None:
        pause_between(self.autoencoder.modules(), pause)

    def key(self, job: Job) -> Hashable:
        return tile_size(self.autoencoder, *self._size(job))

    def estimate(self, job: Job) -> Estimate:
        """A tile a quantum; tiles overlap a little."""
        size = self._size(job)
        return Estimate(math.ceil(math.prod(size) / math.prod(tile_size(self.autoencoder, *size))))

    def reserve(self, job: Job) -> int:
        height, width = self._size(job)
        canvas = 4 * 4 * height * width * self.autoencoder.factor**2  # three colours and a weight, fp32
        return canvas + self.autoencoder.decode_bytes(*tile_size(self.autoencoder, height, width))

    def _size(self, job: Job) -> tuple[int, int]:
        latents: Tensor = job.payload
        if latents.dim() != 3 or latents.shape[0] != self.autoencoder.channels:
            wanted = f"({self.autoencoder.channels}, h, w)"
            raise BadRequest(f"latents are of shape {tuple(latents.shape)}, this autoencoder reads {wanted}")
        return latents.shape[1], latents.shape[2]

    def release(self, job: Job) -> None:
        job.state = None

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            job.units = 0.0
            if job.state is None:
                job.state = TiledDecode(self.autoencoder, job.payload)
        tile = math.prod(jobs[0].state.size) * self.autoencoder.factor**2
        self._advance(jobs[: max(1, self.budget // tile)])

    def _advance(self, jobs: Sequence[Job]) -> None:
        try:
            images = self.autoencoder.decode(torch.stack([job.state.tile() for job in jobs]))
        except Exception as error:
            if out_of_memory(error):  # the engine makes room, or smaller batches
                raise
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            for job in jobs:
                self._advance([job])
            return
        for job, image in zip(jobs, images, strict=True):
            job.units = 1.0
            if not bool(torch.isfinite(image).all()):
                job.fail(BadRequest(UNDECODED))
                continue
            job.state.add(image)
            if not job.state.waiting:
                job.finish(job.state.image())
