"""Upscalers through the engine, a tile a turn. Part of the wiring; knows no file and no task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmgen.engine.job import Job, Request

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.clients.host import ModelHost
    from mmgen.models.diffusion.upscalers.image_upscaler import ImageUpscaler


class UpscalerClient:
    """A network that makes images larger. Owns the runner `decode:upscale KEY`."""

    def __init__(self, host: ModelHost, key: str, model: ImageUpscaler) -> None:
        from mmgen.runners.vae_decode import VAEDecodeRunner

        self.host, self.reference, self.scale = host, key, model.factor
        self.runner = runner_of(key)
        host.engine.add_runner(self.runner, VAEDecodeRunner(model))

    def upscale(self, pixels: Tensor, request: Request | None = None) -> Tensor:
        """(3, H, W) in [-1, 1] -> (3, scale H, scale W), on the CPU."""
        larger: Tensor = self.host.submit(self.runner, pixels, request)
        return larger

    def job(self, pixels: Tensor, request: Request) -> Job:
        """The same as a job, for who waits for several."""
        return Job(self.runner, pixels, request)


def runner_of(key: str) -> str:
    return f"decode:upscale {key}"


def load(host: ModelHost, key: str) -> UpscalerClient:
    """The client of an upscaler's file."""
    from mmgen.models.diffusion.upscalers import image_upscaler

    opened = host.open("upscaler", key, runners=[runner_of(key)], loader=lambda path: image_upscaler.load, precisions=False)
    return UpscalerClient(host, key, opened.model)
