"""A1111's options of an image in the terms of ours. What would be passed over and change the image is refused."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mmgen.errors import BadRequest
from mmgen.image_params import MAX_HIRES, MAX_PADDING, SAMPLERS
from mmgen.pipelines.image.image_pipeline import Images
from mmgen.serve.dialects import a1111_controlnet
from mmgen.serve.image_calls import public
from mmgen.serve.routes.image_schemas import LARGEST_SEED, MOST_IMAGES, ControlBody
from mmgen.serve.wire.bounds import entries

BY_NAME = {name.lower(): solver for solver, name in SAMPLERS.items()} | {solver: solver for solver in SAMPLERS}
PLAIN = (None, "", "automatic", "normal", "uniform")
"""Schedulers that are a sampler's own."""


class DrawingBody(BaseModel):
    """Options of both calls; what A1111 leaves out has the model's own default here."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str = ""
    styles: Annotated[list[str], Field(max_length=10)] | None = None
    seed: int = Field(-1, ge=-1, le=LARGEST_SEED)
    sampler_name: str | None = None
    sampler_index: str | None = Field(None, description="As older clients call the sampler.")
    scheduler: str | None = None
    steps: int | None = Field(None, ge=1)
    cfg_scale: float | None = Field(None, ge=0, le=100)
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    batch_size: int = Field(1, ge=1, le=MOST_IMAGES)
    n_iter: int = Field(1, ge=1, le=MOST_IMAGES)
    send_images: bool = True
    override_settings: Annotated[dict[str, Any], entries(100)] | None = None
    subseed_strength: float | None = 0
    restore_faces: bool | None = False
    tiling: bool | None = False
    enable_hr: bool | None = False
    refiner_checkpoint: str | None = None
    script_name: str | None = None
    alwayson_scripts: Annotated[dict[str, Any], entries(100)] | None = None

    @property
    def n(self) -> int:
        """Raises BadRequest for more images than a call may draw."""
        if self.batch_size * self.n_iter > MOST_IMAGES:
            raise BadRequest(f"batch_size {self.batch_size} and n_iter {self.n_iter} are over {MOST_IMAGES} images")
        return self.batch_size * self.n_iter

    def controls(self) -> list[ControlBody]:
        """What the ControlNet extension is told. Raises BadRequest."""
        return a1111_controlnet.units(self.alwayson_scripts)

    @property
    def checkpoint(self) -> str | None:
        said = (self.override_settings or {}).get("sd_model_checkpoint")
        return said if isinstance(said, str) and said else None

    def given(self) -> dict[str, Any]:
        """What the pipelines are told. Raises BadRequest."""
        names = ("subseed_strength", "restore_faces", "tiling", "enable_hr", "refiner_checkpoint", "script_name", "styles")
        if asked := [name for name in names if getattr(self, name)]:
            raise BadRequest(f"{asked[0]} is given, and this server draws without it; leave it out")
        said = {
            "prompt": self.prompt, "negative": self.negative_prompt, "n": self.n, "steps": self.steps,
            "guidance": self.cfg_scale, "solver": solver(self.sampler_name or self.sampler_index, self.scheduler),
            "width": self.width, "height": self.height, "seed": None if self.seed == -1 else self.seed,
        }  # fmt: skip
        return {"prompt": ""} | {name: value for name, value in said.items() if value not in (None, "")}


class Txt2ImgBody(DrawingBody):
    """POST /sdapi/v1/txt2img"""

    hr_scale: float = Field(2.0, gt=1, le=MAX_HIRES)
    denoising_strength: float | None = Field(None, gt=0, le=1)
    hr_upscaler: str | None = None
    hr_second_pass_steps: int | None = Field(0, ge=0)

    def given(self) -> dict[str, Any]:
        if not self.enable_hr:
            return super().given()
        if self.hr_second_pass_steps:
            raise BadRequest("hr_second_pass_steps is given, and this server draws the second pass by steps; leave it out")
        if self.hr_upscaler not in (None, "", "None", "Latent", "Lanczos"):
            raise BadRequest(f"hr_upscaler is {self.hr_upscaler[:40]!r}, and this server resizes by itself; leave it out")
        plain = self.model_copy(update={"enable_hr": False})
        return DrawingBody.given(plain) | {"hires": f"{self.hr_scale:g}x@{self.denoising_strength or 0.7:g}"}


class Img2ImgBody(DrawingBody):
    """POST /sdapi/v1/img2img"""

    init_images: Annotated[list[str], Field(min_length=1, max_length=1)]
    denoising_strength: float = Field(0.75, gt=0, le=1)
    mask: str | None = Field(None, description="White is drawn anew.")
    inpainting_mask_invert: int | None = Field(0, ge=0, le=1)
    inpaint_full_res: bool | None = False
    inpaint_full_res_padding: int | None = Field(0, ge=0, le=MAX_PADDING)

    def given(self) -> dict[str, Any]:
        cut = {"only_masked": self.inpaint_full_res_padding or 0} if self.inpaint_full_res and self.mask else {}
        return super().given() | {"strength": self.denoising_strength} | cut  # clients say it without a mask, too


def solver(name: str | None, scheduler: str | None = None) -> str | None:
    """Ours, by A1111's names or our own; None: the model's. Raises BadRequest for one that is not here."""
    if not name:
        return None
    found = BY_NAME.get(name.lower())
    if found is not None and (scheduler or "").lower() == "karras":
        found = found if found.endswith("-karras") else f"{found}-karras"
    elif (scheduler.lower() if scheduler else None) not in PLAIN:
        raise BadRequest(f"scheduler is {scheduler!r}; it can be automatic or karras")
    if found not in SAMPLERS:
        raise BadRequest(f"sampler_name is {name[:60]!r}, scheduler {scheduler!r}; samplers: {', '.join(SAMPLERS.values())}")
    return found


def info(drawn: Images) -> str:
    """What became of the call, as JSON text."""
    made = [public(one) for one in drawn.recipes]
    first = made[0]
    options = first.options()
    return json.dumps({
        "prompt": first.prompt, "all_prompts": [one.prompt for one in made],
        "negative_prompt": first.negative, "all_negative_prompts": [one.negative for one in made],
        "seed": first.seed, "all_seeds": [one.seed for one in made],
        "width": first.width, "height": first.height, "steps": options["steps"], "cfg_scale": options["guidance"],
        "sampler_name": SAMPLERS.get(options["solver"] or "", options["solver"]), "batch_size": len(made),
        "sd_model_name": first.model, "sd_model_hash": first.weights[:10],
        "infotexts": [one.parameters() for one in made],
    })  # fmt: skip
