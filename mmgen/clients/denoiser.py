"""Models with a UNet through the engine, step by step; see image_base.py.

Knows models, runners and jobs; not tasks, files or recipes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mmgen import weight_files
from mmgen.clients import first_size, hires
from mmgen.clients.control_models import ControlModels
from mmgen.clients.host import ModelHost
from mmgen.clients.image_base import ImageClient, ImageDone
from mmgen.engine.event_merge import EventMerge, JobEnded
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest
from mmgen.image_events import CachedSteps, Preview, Progress
from mmgen.image_params import ControlInput, ImageParams, LoraWeight
from mmgen.models.diffusion.prompts import syntax

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.clients.upscaler import UpscalerClient
    from mmgen.models.diffusion.adapters.adapter import ScaledAdapters
    from mmgen.models.diffusion.autoencoder import Autoencoder
    from mmgen.models.diffusion.conditioning import Conditioning
    from mmgen.models.diffusion.control.row_control import RowControl
    from mmgen.models.diffusion.denoiser import DenoiserModel
    from mmgen.models.diffusion.prompts.textual_inversion import LearnedWord
    from mmgen.models.diffusion.solver_table import SolverTable
    from mmgen.runners.denoise import DenoiseRequest

Loras = tuple[LoraWeight, ...]
STEPS, GUIDANCE, SOLVER = 20, 5.0, "dpm++2m"
"""What a UNet draws with unless the caller says otherwise ..."""
IMAGE_GUIDANCE = 1.5
"""... of one that edits images, how closely it keeps to them ..."""
CONSISTENCY_STEPS = 4
"""... and one that was distilled for consistency sampling (LCM)."""


class DenoiserClient(ImageClient):
    """A UNet, step by step: images of one size share its passes. Owns the runners `denoise:KEY` and `decode:KEY`."""

    def __init__(self, host: ModelHost, key: str, folder: Path, model: DenoiserModel) -> None:
        from mmgen.runners.denoise import DenoiseRunner
        from mmgen.runners.vae_decode import VAEDecodeRunner

        super().__init__(host, key, folder)
        self.model, self.size, self.conditional = model, model.best, model.conditional
        self.preview_decoder: Autoencoder | None = None  # instead of the model's own
        self.upscaler: UpscalerClient | None = None
        self.denoise, self.decode, self.enlarge = f"denoise:{key}", f"decode:{key}", f"decode:enlarge {key}"
        work = DenoiseRunner(model)
        host.engine.add_runner(self.denoise, work)
        host.engine.add_runner(self.decode, VAEDecodeRunner(model.images))
        if model.enlarger is not None:
            host.engine.add_runner(self.enlarge, VAEDecodeRunner(model.enlarger))
        self.controls = ControlModels(host, self.denoise, work, model)

    def with_preview_decoder(self, path: Path) -> Self:
        from mmgen.models.diffusion.single_file import tiny_decoder

        client = copy(self)
        load = self.host.engine.call_with
        client.preview_decoder = load(self.denoise, tiny_decoder.load, path, self.model.channels, self.host.device)
        return client

    def with_upscaler(self, upscaler: UpscalerClient, path: Path) -> Self:
        client = copy(self)
        client.upscaler, client.upscaler_path = upscaler, path
        return client

    def resolved(self, params: ImageParams) -> ImageParams:
        return self._checked(self.standard(params))

    def standard(self, params: ImageParams) -> ImageParams:
        consistency = self.model.scheduler_config.get("_class_name") == "LCMScheduler"
        if params.step_cache:
            if self.model.told:
                raise BadRequest(f"{self.reference} is told of an image, where no steps are cached; leave step_cache out")
            _ = self.model.first_block
        solver = params.solver or ("lcm" if consistency else SOLVER)
        return replace(
            params,
            solver=solver,
            steps=(CONSISTENCY_STEPS if solver == "lcm" else STEPS) if params.steps is None else params.steps,
            guidance=(GUIDANCE if self.conditional else 1.0) if params.guidance is None else params.guidance,
            image_guidance=IMAGE_GUIDANCE if params.image_guidance is None and self.edits else params.image_guidance,
        )

    @property
    def edits(self) -> bool:
        return self.model.told == "edit"

    def _check_images(self, params: ImageParams) -> None:
        """Raises BadRequest where the network is told of an image that is not there, or the other way round."""
        if self.model.told == "inpaint" and params.mask_pixels is None:
            raise BadRequest(f"{self.reference} is an inpainting model; give it an image and a mask (inpaint), or take another")
        if self.model.told == "edit" and params.pixels is None:
            raise BadRequest(f"{self.reference} edits images; give it one and say what to change (edit), or take another model")
        if params.image_guidance is not None and self.model.told != "edit":
            raise BadRequest(f"{self.reference} takes no image guidance; leave it out")

    def _checked(self, params: ImageParams) -> ImageParams:
        """With the model's own size where none is asked for. Raises BadRequest for what the model cannot draw."""
        width = self.model.best if params.width is None else params.width
        height = self.model.best if params.height is None else params.height
        resolved = replace(params, width=width, height=height)
        self._check_images(resolved)
        self.model.check_size(*resolved.size)
        (first,) = first_size.reduced([replace(resolved, pixels=None, mask_pixels=None, controls=())], self.model)
        self._table(first)
        self._adapters(resolved)
        self._learned(resolved)
        if resolved.hires is not None:
            if self.model.told:
                raise BadRequest(f"{self.reference} is told the image in its first size, where hires is not done; leave it out")
            larger = self._larger(replace(resolved, width=first.width, height=first.height))
            self.model.latent_shape(*larger.size)
            self._table(larger)
        for control in resolved.controls:
            self.controls.get(control.reference)
        return resolved

    def overlays(self, control: ControlInput) -> bool:
        return self.controls.get(control.reference).spatial

    def notes(self, params: ImageParams) -> list[str]:
        """Of control images that are changed to lie over the one that is drawn."""
        return [note for one in params.controls if self.overlays(one) and (note := one.note(params.size))]

    def check_prompt(self, prompt: str) -> None:
        syntax.parse(prompt)

    def count_tokens(self, prompt: str) -> tuple[int, int] | None:
        return self.model.text.count(prompt)

    def _adapters(self, params: ImageParams) -> ScaledAdapters:
        """The LoRA files of a row, read; BadWeights for one that is not of this model."""
        found, get = [], self.model.adapters.get
        for one in (*self.loras, *params.loras):
            found.append((self.host.engine.call_with(self.denoise, get, one.path), one.scale))
        return found

    def _learned(self, params: ImageParams) -> list[LearnedWord]:
        """The files of textual inversion, read; BadWeights for one that is not of this model."""
        return [self.host.engine.call_with(self.denoise, self.model.learned_word, path) for path in params.embeddings]

    def fit(self, width: int, height: int) -> tuple[int, int]:
        grain = self.model.grain * (self.model.best // self.model.size)
        scale = self.model.best / math.sqrt(width * height)
        return max(grain, grain * round(scale * width / grain)), max(grain, grain * round(scale * height / grain))

    def draw(self, rows: Sequence[ImageParams], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        engine, following, ended = self.host.engine, EventMerge(), False
        whole, rows = rows, first_size.reduced(rows, self.model)
        try:
            adapters = {params.loras: self._adapters(params) for params in rows}
            conditions, latents, references = self._conditions(rows, adapters), self._latents(rows), self._references(rows)
            controls = {id(one): self.controls.prepared(one) for params in rows for one in params.controls}
            cached: dict[int, CachedSteps] = {}
            sizes = [first_size.final(params, self.model) for params in whole]
            stages = [
                hires.stages(one, self.upscaler is not None, size is not None) for one, size in zip(whole, sizes, strict=True)
            ]

            def job(number: int, stage: str, value: Any) -> Job:
                """Of a row's next stage, from what the one before it gave."""
                params = rows[number]
                if stage == "decode":
                    return Job(self.decode, value, request)
                if stage == "enlarge":
                    return Job(self.enlarge, value, request)
                if stage == "upscale":
                    assert self.upscaler is not None
                    return self.upscaler.job(kept(whole[number], value), request)
                own = [controls[id(one)] for one in params.controls]
                begun = latents.get(id(params.pixels)), references.get(id(params.pixels))
                if stage == "again":
                    params = replace(self._larger(params), pixels=hires.resized(value, self._larger(params).size))
                    begun = self._encoded(params), None
                payload = self._payload(params, conditions[params.loras], adapters[params.loras], own, begun, number)
                payload = replace(payload, decode=partial(self._pixels, request, sizes[number]))
                if "again" in stages[number]:
                    tables = [len(self._table(one)) for one in (rows[number], self._larger(rows[number]))]
                    payload = replace(payload, before=tables[0] if stage == "again" else 0, total=sum(tables))
                return Job(self.denoise, payload, request, seed=params.seed)

            for number in range(len(rows)):
                following.add((number, 0), engine.submit(job(number, "denoise", None)))
            for (number, at), event in following:
                if isinstance(event, CachedSteps):
                    cached[number] = event
                elif not isinstance(event, JobEnded):
                    yield event
                if not isinstance(event, JobEnded):
                    continue
                value, size = event.value, sizes[number]
                if stages[number][at] == "enlarge" and size is not None:
                    value = hires.resized(value, size)
                if at + 1 < len(stages[number]):
                    following.add((number, at + 1), engine.submit(job(number, stages[number][at + 1], value)))
                else:
                    pixels = value if stages[number][at] == "upscale" else kept(whole[number], value)
                    yield ImageDone(number, pixels, cached.get(number))
            ended = True
        finally:
            if not ended:
                request.leave()

    def _larger(self, params: ImageParams) -> ImageParams:
        return hires.larger(params, self.model.step)

    def _conditions(
        self, rows: Sequence[ImageParams], adapters: Mapping[Loras, ScaledAdapters]
    ) -> dict[Loras, dict[str, Conditioning]]:
        """Of every prompt and negative prompt, embedded once with each set of LoRA files."""
        texts = list(dict.fromkeys((one.loras, text) for one in rows for text in (one.prompt, one.negative)))
        prompts, own = [text for _, text in texts], [adapters[loras] for loras, _ in texts]
        embed, learned = self.model.embed_prompts, self._learned(rows[0])
        embedded = self.host.engine.call_with(self.denoise, embed, prompts, own if any(own) else (), learned)
        found: dict[Loras, dict[str, Conditioning]] = {}
        for (loras, text), condition in zip(texts, embedded, strict=True):
            found.setdefault(loras, {})[text] = condition
        return found

    def _latents(self, rows: Sequence[ImageParams]) -> dict[int, Tensor]:
        """Of every image that rows begin with or keep, by its `id`, encoded once."""
        used = [one for one in rows if one.strength < 1 or (one.mask_pixels is not None and not self.model.told)]
        images = {id(one.pixels): one for one in used if one.pixels is not None}
        return {key: self._encoded(one) for key, one in images.items()}

    def _encoded(self, params: ImageParams) -> Tensor:
        assert params.pixels is not None
        latents: Tensor = self.host.engine.call_with(self.denoise, self.model.encode, params.pixels[None])
        return latents[0].cpu()

    def _references(self, rows: Sequence[ImageParams]) -> dict[int, Tensor]:
        """What the network is told of these images in every step, likewise; empty where it is told of none."""
        if not self.model.told:
            return {}
        engine, see = self.host.engine, self.model.reference
        images = {id(one.pixels): (one.pixels, one.mask_pixels) for one in rows if one.pixels is not None}
        return {key: engine.call_with(self.denoise, see, *given).cpu() for key, given in images.items()}

    def _payload(
        self,
        params: ImageParams,
        conditions: dict[str, Conditioning],
        adapters: ScaledAdapters,
        controls: Sequence[RowControl],
        image: tuple[Tensor | None, Tensor | None],
        number: int,
    ) -> DenoiseRequest:
        import torch.nn.functional as F

        from mmgen.runners.denoise import DenoiseRequest

        latents, reference = image
        shape = self.model.latent_shape(*params.size)[1:]
        mask = None if self.model.told else params.mask_pixels  # a network that is told of it keeps to it by itself
        return DenoiseRequest(
            params,
            condition=conditions[params.prompt],
            table=self._table(params),
            negative=conditions[params.negative] if self.conditional else None,
            start=None if params.strength == 1 else latents,
            known=None if mask is None else latents,
            mask=None if mask is None else F.adaptive_max_pool2d(mask, shape),  # (1, H, W) -> (1, h, w)
            adapters=adapters,
            controls=controls,
            reference=reference,
            image=number,
        )

    def _pixels(self, request: Request, size: first_size.Size | None, latents: Tensor) -> Tensor:
        """Of a preview: (C, h, w) -> (3, H, W) in [-1, 1]; by the decoder's own turns where decoding costs something.

        size: what it is interpolated to, where the finished image goes through the model's enlarger.
        """
        if self.preview_decoder is not None:
            decoded: Tensor = self.host.engine.call_with(self.denoise, self.preview_decoder.decode, latents[None])
            pixels = decoded[0].cpu()
        elif self.model.cheap:
            pixels = self.model.decode(latents[None])[0]
        else:
            pixels = self.host.engine.submit(Job(self.decode, latents, request)).result()
        return pixels if size is None else hires.resized(pixels, size)

    def enlarged_by(self, params: ImageParams) -> Path | None:
        return self.folder / weight_files.ENLARGER if first_size.enlarged(params, self.model) else None

    def _table(self, params: ImageParams) -> SolverTable:
        assert params.solver is not None and params.steps is not None
        return self.model.table(params.solver, params.steps, params.strength, *params.size)


def kept(params: ImageParams, pixels: Tensor) -> Tensor:
    """The image with the given image's own pixels where the mask leaves them."""
    mask, given = params.mask_pixels, params.pixels
    return pixels if mask is None or given is None else mask * pixels + (1 - mask) * given
