"""Which client a text-to-image model has, and how it is loaded: a UNet, a diffusion transformer, or a pipeline of diffusers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import gguf_files
from mmgen.clients.denoiser import DenoiserClient
from mmgen.clients.diffusers_pipeline import DiffusersClient
from mmgen.clients.dit import DiTClient
from mmgen.clients.host import ModelHost, ModelLoader, registered
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.clients.image_base import ImageClient
    from mmgen.models.tuning.workload import Workload

OWN = {"vae": "VAE here (--vae)", "text_encoders": "text encoder here (--text-encoder)"}
"""Parts that a model may be given instead of its own, by the loaders' names for them."""


def load(host: ModelHost, key: str, reference: str, vae: Path | None = None, text_encoders: Sequence[Path] = ()) -> ImageClient:
    """The client of a model. `reference` may end with a precision, as in `FOLDER#bf16`; `key`: it with its own parts."""
    from mmgen.models.diffusion import denoiser
    from mmgen.models.diffusion.dit import model as dit
    from mmgen.runners.diffusers_pipeline import PipelineModel

    def kind(folder: Path) -> str:
        return "dit" if dit.handles(folder) else "unet" if denoiser.handles(folder) else "diffusers"

    def prepare(model: Any) -> Any:
        if isinstance(model, denoiser.DenoiserModel):
            model.pack()
        return model

    def loader(folder: Path) -> ModelLoader:
        found = choose(folder)
        own: dict[str, Any] = {"vae": vae, "text_encoders": tuple(text_encoders)}
        own = {name: value for name, value in own.items() if value}
        for name in own.keys() - signature(found).parameters.keys():
            raise BadRequest(f"{reference} takes no other {OWN[name]}; leave it out")
        return with_own_precision(partial(found, **own)) if folder.suffix == gguf_files.SUFFIX else partial(found, **own)

    runners = [f"denoise:{key}", f"decode:{key}", f"decode:enlarge {key}", f"pipeline:{key}"]
    choose = registered(host.registry.denoisers, kind)
    opened = host.open("denoiser", reference, runners=runners, loader=loader, key=key, prepare=prepare, workload=workload)
    make: type[Any] = DenoiserClient
    if isinstance(opened.model, PipelineModel | dit.DiTModel):
        make = DiffusersClient if isinstance(opened.model, PipelineModel) else DiTClient
    client: ImageClient = make(host, key, opened.folder, opened.model)
    client.reference, client.vae, client.text_encoders = reference, vae, tuple(text_encoders)
    client.precision = opened.precision or ("fp32" if opened.chooses else "")
    return client


def with_own_precision(loader: ModelLoader) -> ModelLoader:
    """A loader that names no precision, so that none is measured: a GGUF file has its own."""

    def load(folder: Path, **options: Any) -> Any:
        return loader(folder, **options)

    return load


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.denoisers import DenoiserWorkload

    return DenoiserWorkload()
