"""Which client a text-to-image model has, and how it is loaded: a UNet, a diffusion transformer, or a pipeline of diffusers."""

from __future__ import annotations

from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.clients.denoiser import DenoiserClient
from mmgen.clients.diffusers_pipeline import DiffusersClient
from mmgen.clients.dit import DiTClient
from mmgen.clients.host import ModelHost, ModelLoader, registered
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.clients.image_base import ImageClient
    from mmgen.models.tuning.workload import Workload


def load(host: ModelHost, key: str, reference: str, vae: Path | None = None) -> ImageClient:
    """The client of a model. `reference` may end with a precision, as in `FOLDER#bf16`; `key`: it with its own VAE."""
    from mmgen.models.diffusion import denoiser
    from mmgen.models.diffusion.dit import model as dit
    from mmgen.runners.diffusers_pipeline import PipelineModel

    def kind(folder: Path) -> str:
        return "unet" if denoiser.handles(folder) else "dit" if dit.handles(folder) else "diffusers"

    def prepare(model: Any) -> Any:
        if isinstance(model, denoiser.DenoiserModel):
            model.pack()
        return model

    def loader(folder: Path) -> ModelLoader:
        found = choose(folder)
        if vae is None:
            return found
        if "vae" not in signature(found).parameters:
            raise BadRequest(f"{reference} takes no other VAE here; leave --vae out")
        return partial(found, vae=vae)

    runners = [f"denoise:{key}", f"decode:{key}", f"pipeline:{key}"]
    choose = registered(host.registry.denoisers, kind)
    opened = host.open("denoiser", reference, runners=runners, loader=loader, key=key, prepare=prepare, workload=workload)
    make: type[Any] = DenoiserClient
    if isinstance(opened.model, PipelineModel | dit.DiTModel):
        make = DiffusersClient if isinstance(opened.model, PipelineModel) else DiTClient
    client: ImageClient = make(host, key, opened.folder, opened.model)
    client.reference, client.vae = reference, vae
    client.precision = opened.precision or ("fp32" if opened.chooses else "")
    return client


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.denoisers import DenoiserWorkload

    return DenoiserWorkload()
