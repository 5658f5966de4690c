"""Diffusion transformers through the engine, step by step: what their families take and refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmgen.clients.denoiser import DenoiserClient, Loras
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.image_params import ImageParams
    from mmgen.models.diffusion.adapters.adapter import ScaledAdapters
    from mmgen.models.diffusion.conditioning import Conditioning
    from mmgen.models.diffusion.control.row_control import RowControl
    from mmgen.models.diffusion.dit.model import DiTModel
    from mmgen.runners.denoise import DenoiseRequest


class DiTClient(DenoiserClient):
    """As `DenoiserClient`; standard values are those of the model's own pipeline."""

    model: DiTModel  # type: ignore[assignment]

    def standard(self, params: ImageParams) -> ImageParams:
        family = self.model.family
        if params.negative and family.negative_unheard:
            raise BadRequest(f"{self.reference} takes no negative prompt: {family.negative_unheard}; leave it out")
        if params.image_guidance is not None:
            raise BadRequest(f"{self.reference} takes no image guidance; leave it out")
        if params.step_cache:
            _ = self.model.first_block
        return replace(
            params,
            solver=params.solver or family.solver,
            steps=family.steps if params.steps is None else params.steps,
            guidance=family.guidance if params.guidance is None else params.guidance,
        )

    def reference_size(self, width: int, height: int, area: int) -> tuple[int, int]:
        family = self.model.family
        return family.reference_size(width, height, area) if family.references else super().reference_size(width, height, area)

    def check_prompt(self, prompt: str) -> None:
        """Prompts are read as they stand: these text encoders know no weights."""

    def count_tokens(self, prompt: str) -> tuple[int, int] | None:
        count = self.model.family.count(prompt)
        return None if count is None else (count, self.model.family.longest)

    def _conditions(
        self, rows: Sequence[ImageParams], adapters: Mapping[Loras, ScaledAdapters]
    ) -> dict[Loras, dict[str, Conditioning]]:
        if self.model.family.prompts_see:
            return self._seeing(rows)
        found = super()._conditions(rows, adapters)
        if self.model.family.negative_apart:
            for text in dict.fromkeys(one.negative for one in rows):
                condition = self.host.engine.call_with(self.denoise, self.model.embed_negative, text)
                for conditions in found.values():
                    conditions[_negative(text)] = condition
        return found

    def _seeing(self, rows: Sequence[ImageParams]) -> dict[Loras, dict[str, Conditioning]]:
        """Of every prompt beside the images that it speaks of."""
        call = self.host.engine.call_with
        found: dict[Loras, dict[str, Conditioning]] = {}
        encoded: dict[int, Tensor] = {}  # the `id` of a reference's pixels -> its latents
        for params in rows:
            assert params.pixels is not None
            own = found.setdefault(params.loras, {})
            for one in params.references:
                if id(one) not in encoded:
                    encoded[id(one)] = call(self.denoise, self.model.reference, one).cpu()
            references = tuple(encoded[id(one)] for one in params.references)
            for text in (params.prompt, params.negative):
                if (key := _beside(params, text)) not in own:
                    made = call(self.denoise, self.model.embed_seeing, text, (params.pixels, *params.references))
                    own[key] = replace(made, references=references)
        return found

    def _payload(
        self,
        params: ImageParams,
        conditions: dict[str, Conditioning],
        adapters: ScaledAdapters,
        controls: Sequence[RowControl],
        image: tuple[Tensor | None, Tensor | None],
        *more: Any,
    ) -> DenoiseRequest:
        latents, reference = image
        if self.model.family.prompts_see:
            conditions = {text: conditions[_beside(params, text)] for text in (params.prompt, params.negative)}
        if reference is not None:
            conditions = {text: replace(one, image=reference) for text, one in conditions.items()}
        made = super()._payload(params, conditions, adapters, controls, (latents, None), *more)
        return replace(made, negative=conditions.get(_negative(params.negative), made.negative))


def _beside(params: ImageParams, text: str) -> str:
    """The key of a prompt that is embedded beside the row's image."""
    return f"\0{id(params.pixels)}\0{text}"


def _negative(text: str) -> str:
    """The key of a negative prompt where it is embedded otherwise than a prompt; no prompt holds a NUL."""
    return f"\0{text}"
