"""Text-to-image models through the engine: orders in; progress, previews and images out. Part of the wiring.

Knows models, runners and jobs; not tasks, files or recipes. Images are (3, H, W) in [-1, 1] on the CPU.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import hub, weight_files
from mmgen.engine.event_merge import EventMerge, JobEnded
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.models.diffusion.conditioning import Conditioning
    from mmgen.models.diffusion.denoiser import DenoiserModel
    from mmgen.models.diffusion.solver_table import SolverTable
    from mmgen.runtime import Runtime

STEPS, GUIDANCE, SOLVER = 20, 5.0, "dpm++2m"
"""What a UNet draws with unless the caller says otherwise ..."""
CONSISTENCY_STEPS = 4
"""... and one that was distilled for consistency sampling (LCM)."""


@dataclass(frozen=True)
class LoraWeight:
    """A LoRA file and how much of it."""

    path: Path
    scale: float = 1.0

    @classmethod
    def read(cls, text: str) -> LoraWeight:
        """From `PATH` or `PATH@SCALE`."""
        path, _, scale = text.rpartition("@")
        try:
            lora = cls(Path(path).expanduser(), float(scale)) if path else cls(Path(text).expanduser())
        except ValueError:  # the @ belongs to the path
            lora = cls(Path(text).expanduser())
        if not lora.path.exists():
            raise NotFound(f"LoRA {lora.path} does not exist; give a safetensors file, or FILE@SCALE")
        return lora

    def __str__(self) -> str:
        return f"{self.path}@{self.scale:g}"


@dataclass(frozen=True, eq=False)
class Order:
    """One image. What is None is the model's choice."""

    prompt: str = ""
    seed: int = 0
    negative: str = ""
    steps: int | None = None
    solver: str | None = None
    guidance: float | None = None
    guidance_rescale: float = 0.0
    width: int | None = None  # pixels
    height: int | None = None
    image: Tensor | None = None  # (3, height, width): begin with this
    mask: Tensor | None = None  # (1, height, width) in [0, 1]: draw only where it is 1
    strength: float = 1.0  # in (0, 1]: how far from the image
    preview_every: int = 0  # steps; 0: none


@dataclass(frozen=True)
class Progress:
    """Event: an evaluation of the model is done."""

    image: int  # its place among the orders
    step: int  # from 1
    of: int


@dataclass(frozen=True, eq=False)
class Preview:
    """Event: what an image would be by now."""

    image: int
    step: int
    of: int
    pixels: Tensor


@dataclass(frozen=True, eq=False)
class ImageDone:
    """Event: an image is done."""

    image: int
    pixels: Tensor


class ImageClient(ABC):
    """A model that draws, whose passes are the engine's."""

    size: int | None  # pixels a side that it draws best; None: it does not say
    conditional: bool  # whether it listens to a prompt

    def __init__(self, runtime: Runtime, reference: str, folder: Path, loras: Sequence[LoraWeight]) -> None:
        self.runtime, self.reference, self.folder, self.loras = runtime, reference, folder, list(loras)

    @cached_property
    def weights(self) -> str:
        """sha256 of the model's weights, see `weight_files.digest`; those of the LoRA files are not in it."""
        return weight_files.digest(self.folder)

    @abstractmethod
    def settled(self, order: Order) -> Order:
        """The order with what this model takes where the caller left it open. Raises BadRequest for what it cannot do."""

    @abstractmethod
    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size in which it draws best an image that has these sides' ratio."""

    @abstractmethod
    def draw(self, orders: Sequence[Order], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        """Draws settled orders, all at once. Leaving the iteration early cancels the request."""


class DenoiserClient(ImageClient):
    """A UNet, step by step: orders of one size share its passes. Owns the runners `denoise:KEY` and `decode:KEY`."""

    def __init__(
        self, runtime: Runtime, key: str, reference: str, folder: Path, loras: Sequence[LoraWeight], model: DenoiserModel
    ) -> None:
        from mmgen.models.diffusion.schedule import NoiseSchedule
        from mmgen.runners.denoise import DenoiseRunner
        from mmgen.runners.vae_decode import VAEDecodeRunner

        super().__init__(runtime, reference, folder, loras)
        self.model, self.size, self.conditional = model, model.size, model.conditional
        self.schedule = NoiseSchedule.from_config(model.scheduler_config)
        self.denoise, self.decode = f"denoise:{key}", f"decode:{key}"
        runtime.engine.add_runner(self.denoise, DenoiseRunner(model))
        runtime.engine.add_runner(self.decode, VAEDecodeRunner(model.images))

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

        engine, following, ended = self.runtime.engine, EventMerge(), False
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
        return dict(zip(texts, self.runtime.engine.call_with(self.denoise, self.model.embed_prompts, texts), strict=True))

    def _latents(self, orders: Sequence[Order]) -> dict[int, Tensor]:
        """Of every image that orders begin with, by its `id`, encoded once."""
        images = {id(order.image): order.image for order in orders if order.image is not None}
        engine, encode = self.runtime.engine, self.model.encode
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


def load(runtime: Runtime, key: str, reference: str, loras: Sequence[LoraWeight]) -> ImageClient:
    """The client of a model. `reference` may end with a precision, as in `FOLDER#bf16`; `key`: it with its LoRA files."""
    from mmgen.clients.diffusers_pipeline import DiffusersClient
    from mmgen.models.diffusion.denoiser import DenoiserModel, handles
    from mmgen.runners.diffusers_pipeline import PipelineModel

    runtime.set_threads()
    name, _, precision = reference.partition("#")
    folder = hub.resolve(name, kind="denoiser")
    table = runtime.registry.denoisers
    loader = table.get(runtime.architecture(folder, table, "unet" if handles(folder) else "diffusers"))

    def loaded() -> Any:
        from mmgen.models.diffusion import lora

        model = loader(folder, device=runtime.device, name=reference, precision=precision)
        if loras and isinstance(model, PipelineModel):
            raise BadRequest(f"{reference} runs through diffusers, where LoRA files are not loaded; take a model with a UNet")
        for one in loras:
            lora.apply(model, one.path, one.scale)
        if isinstance(model, DenoiserModel):
            model.pack()
        return model

    runners = [f"denoise:{key}", f"decode:{key}", f"pipeline:{key}"]
    model = runtime.resident(f"denoiser {key}", [folder], loaded, runners).model
    make = DiffusersClient if isinstance(model, PipelineModel) else DenoiserClient
    return make(runtime, key, reference, folder, loras, model)


def kept(order: Order, pixels: Tensor) -> Tensor:
    """The image with the image's own pixels where the mask leaves them."""
    if order.mask is None or order.image is None:
        return pixels
    return order.mask * pixels + (1 - order.mask) * order.image
